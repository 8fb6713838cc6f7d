# A table of OpenCSVSerde with doubled quotes and with escaped ones; the refusals of what AWS trains.
from awsglueml.transforms import EntityDetector

quoted = glueContext.create_dynamic_frame.from_catalog(database="payments", table_name="quoted")
quoted.printSchema()
quoted.show()
try:
    EntityDetector().classify_columns(quoted, ["EMAIL"], 1.0, 0.1, "HIGH")
except NotImplementedError as error:
    print(error)
