package millpond.spark;

import java.lang.reflect.Field;
import java.util.Comparator;
import org.apache.hadoop.conf.Configuration;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.json.JSONOptions;
import org.apache.spark.sql.catalyst.json.JacksonParser;
import org.apache.spark.sql.execution.datasources.PartitionedFile;
import org.apache.spark.sql.execution.datasources.json.JsonDataSource$;
import org.apache.spark.sql.execution.datasources.json.JsonFileFormat;
import org.apache.spark.sql.sources.Filter;
import org.apache.spark.sql.types.ArrayType;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.MapType;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.util.SerializableConfiguration;
import scala.Function1;
import scala.collection.Iterator;
import scala.collection.immutable.Map;
import scala.collection.immutable.Nil$;
import scala.collection.immutable.TreeMap;
import scala.math.Ordering;
import scala.math.Ordering$;
import scala.runtime.AbstractFunction1;

/**
 * JSON as Hive's JsonSerDe reads it: the name of a field matches in any case, in structs, too; of several in one record
 * the last one counts. The rest is Spark's: its parser asks the schema where a field is, and here the schema knows it in
 * all spellings.
 */
public final class AnyCaseJson extends JsonFileFormat {
    @Override
    public Function1<PartitionedFile, Iterator<InternalRow>> buildReader(
            SparkSession spark,
            StructType data,
            StructType partitions,
            StructType required,
            scala.collection.Seq<Filter> filters,
            Map<String, String> options,
            Configuration hadoop) {
        String zone = spark.sessionState().conf().sessionLocalTimeZone();
        String corrupt = spark.sessionState().conf().columnNameOfCorruptRecord();
        return new Reader(required, options, zone, corrupt, new SerializableConfiguration(hadoop));
    }

    @Override
    public String toString() {
        return "JSON";
    }

    private static final class Reader extends AbstractFunction1<PartitionedFile, Iterator<InternalRow>>
            implements java.io.Serializable {
        private final StructType required;
        private final Map<String, String> options;
        private final String zone;
        private final String corrupt;
        private final SerializableConfiguration hadoop;

        Reader(
                StructType required,
                Map<String, String> options,
                String zone,
                String corrupt,
                SerializableConfiguration hadoop) {
            this.required = required;
            this.options = options;
            this.zone = zone;
            this.corrupt = corrupt;
            this.hadoop = hadoop;
        }

        @Override
        public Iterator<InternalRow> apply(PartitionedFile file) {
            JSONOptions given = new JSONOptions(options, zone, corrupt);
            StructType schema = (StructType) anyCase(required);
            JacksonParser parser = new JacksonParser(schema, given, true, none());
            return JsonDataSource$.MODULE$.apply(given).readFile(hadoop.value(), file, parser, schema);
        }
    }

    @SuppressWarnings("unchecked") // an empty list is one of anything
    private static scala.collection.Seq<Filter> none() {
        return (scala.collection.Seq<Filter>) (Object) Nil$.MODULE$;
    }

    private static DataType anyCase(DataType type) {
        if (type instanceof StructType) {
            StructField[] fields = ((StructType) type).fields().clone();
            for (int at = 0; at < fields.length; at++) {
                StructField one = fields[at];
                fields[at] = new StructField(one.name(), anyCase(one.dataType()), one.nullable(), one.metadata());
            }
            return found(new StructType(fields));
        }
        if (type instanceof ArrayType) {
            ArrayType array = (ArrayType) type;
            return new ArrayType(anyCase(array.elementType()), array.containsNull());
        }
        if (type instanceof MapType) {
            MapType map = (MapType) type;
            return new MapType(map.keyType(), anyCase(map.valueType()), map.valueContainsNull());
        }
        return type;
    }

    /** Let a struct find its fields in any case. Java cannot extend it: its index is replaced. */
    private static StructType found(StructType struct) {
        Ordering<String> ordering =
                Ordering$.MODULE$.comparatorToOrdering((Comparator<String>) String.CASE_INSENSITIVE_ORDER);
        TreeMap<String, Object> places = new TreeMap<>(ordering);
        String[] names = struct.fieldNames();
        for (int at = names.length - 1; at >= 0; at--) {
            places = places.updated(names[at], (Object) at);
        }
        struct.getFieldIndex(""); // makes the index
        try {
            Field index = StructType.class.getDeclaredField("nameToIndex");
            index.setAccessible(true);
            index.set(struct, places);
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException("this Spark finds fields in another way", error);
        }
        return struct;
    }
}
