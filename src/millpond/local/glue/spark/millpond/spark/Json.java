package millpond.spark;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.MappingIterator;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.Serializable;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.api.java.UDF1;
import org.apache.spark.sql.types.ArrayType;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.DecimalType;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;

/**
 * JSON whose records bring their own types: `shape` looks at all of them, `register` makes a function that reads them.
 * A field of several types is a choice, a struct as awsglue/_choices.py marks it. A text may hold several records, or an
 * array of them.
 */
public final class Json {
    private static final String MARK = "\u2016";
    private static final ObjectMapper MAPPER =
            new ObjectMapper(new JsonFactory().enable(JsonParser.Feature.ALLOW_UNQUOTED_CONTROL_CHARS));

    private Json() {}

    /** The type of all records in the first column: Spark's JSON of it, a tab, and how many texts are no records. */
    public static String shape(Dataset<Row> texts) {
        Shape all = new Shape();
        List<Shape> parts = texts.toJavaRDD()
                .mapPartitions((Iterator<Row> rows) -> {
                    Shape made = new Shape();
                    while (rows.hasNext()) {
                        made.read(rows.next().getString(0));
                    }
                    List<Shape> one = new ArrayList<>();
                    one.add(made);
                    return one.iterator();
                })
                .collect();
        parts.forEach(all::merge);
        DataType type = all.type();
        return (type instanceof StructType ? type : new StructType()).json() + "\t" + all.bad;
    }

    /** A SQL function of a text: its records in a schema (Spark's JSON), null when it holds none. */
    public static void register(SparkSession spark, String name, String schema) {
        StructType type = (StructType) DataType.fromJson(schema);
        UDF1<String, Object> read = text -> {
            List<JsonNode> records = records(text);
            if (records == null) {
                return null;
            }
            Object[] made = new Object[records.size()];
            for (int n = 0; n < made.length; n++) {
                made[n] = value(records.get(n), type);
            }
            return made;
        };
        spark.udf().register(name, read, new ArrayType(type, true));
    }

    /** The records of a text; null when it is no JSON or holds something that is no record. */
    private static List<JsonNode> records(String text) {
        List<JsonNode> made = new ArrayList<>();
        if (text == null) {
            return made;
        }
        String body = text.startsWith("\uFEFF") ? text.substring(1) : text;
        try (MappingIterator<JsonNode> values = MAPPER.readerFor(JsonNode.class).readValues(body)) {
            while (values.hasNextValue()) {
                JsonNode one = values.nextValue();
                if (one.isArray()) {
                    one.forEach(made::add);
                } else {
                    made.add(one);
                }
            }
        } catch (IOException error) {
            return null;
        }
        for (JsonNode one : made) {
            if (!one.isObject()) {
                return null;
            }
        }
        return made;
    }

    private static Object value(JsonNode node, DataType type) {
        if (node == null || node.isNull()) {
            return null;
        }
        if (type instanceof StructType) {
            StructField[] fields = ((StructType) type).fields();
            Object[] made = new Object[fields.length];
            boolean choice = fields.length > 0 && fields[0].name().startsWith(MARK);
            for (int n = 0; n < fields.length; n++) {
                if (!choice) {
                    made[n] = value(node.get(fields[n].name()), fields[n].dataType());
                } else if (fits(node, fields[n].dataType())) {
                    made[n] = value(node, fields[n].dataType());
                }
            }
            return RowFactory.create(made);
        }
        if (type instanceof ArrayType) {
            Object[] made = new Object[node.size()];
            for (int n = 0; n < made.length; n++) {
                made[n] = value(node.get(n), ((ArrayType) type).elementType());
            }
            return made;
        }
        return plain(node, type);
    }

    private static Object plain(JsonNode node, DataType type) {
        if (type == DataTypes.IntegerType) {
            return node.intValue();
        }
        if (type == DataTypes.LongType) {
            return node.longValue();
        }
        if (type == DataTypes.DoubleType) {
            return node.doubleValue();
        }
        if (type == DataTypes.BooleanType) {
            return node.booleanValue();
        }
        return type instanceof DecimalType ? (Object) new BigDecimal(node.bigIntegerValue()) : node.asText();
    }

    private static boolean fits(JsonNode node, DataType type) {
        if (type instanceof StructType) {
            return node.isObject();
        }
        if (type instanceof ArrayType) {
            return node.isArray();
        }
        if (type == DataTypes.DoubleType) {
            return node.isNumber() && !node.isIntegralNumber();
        }
        if (type == DataTypes.BooleanType) {
            return node.isBoolean();
        }
        return type == DataTypes.StringType ? node.isTextual() : node.isIntegralNumber();
    }

    /** What has been seen of one field. */
    static final class Shape implements Serializable {
        private static final int INT = 1;
        private static final int LONG = 2;
        private static final int HUGE = 3;

        long bad;
        private boolean text;
        private boolean truth;
        private boolean real;
        private int whole;
        private LinkedHashMap<String, Shape> fields;
        private Shape element;

        void read(String given) {
            List<JsonNode> records = records(given);
            if (records == null) {
                bad++;
            } else {
                records.forEach(this::add);
            }
        }

        private void add(JsonNode node) {
            if (node.isObject()) {
                fields = fields == null ? new LinkedHashMap<>() : fields;
                Iterator<Map.Entry<String, JsonNode>> inner = node.fields();
                while (inner.hasNext()) {
                    Map.Entry<String, JsonNode> one = inner.next();
                    fields.computeIfAbsent(one.getKey(), name -> new Shape()).add(one.getValue());
                }
            } else if (node.isArray()) {
                element = element == null ? new Shape() : element;
                node.forEach(element::add);
            } else if (node.isIntegralNumber()) {
                whole = Math.max(whole, node.canConvertToInt() ? INT : node.canConvertToLong() ? LONG : HUGE);
            } else {
                text |= node.isTextual();
                truth |= node.isBoolean();
                real |= node.isNumber();
            }
        }

        void merge(Shape other) {
            bad += other.bad;
            text |= other.text;
            truth |= other.truth;
            real |= other.real;
            whole = Math.max(whole, other.whole);
            if (other.fields != null) {
                fields = fields == null ? new LinkedHashMap<>() : fields;
                other.fields.forEach((name, one) -> fields.computeIfAbsent(name, key -> new Shape()).merge(one));
            }
            if (other.element != null) {
                element = element == null ? new Shape() : element;
                element.merge(other.element);
            }
        }

        DataType type() {
            TreeMap<String, DataType> types = new TreeMap<>();
            if (text) {
                types.put("string", DataTypes.StringType);
            }
            if (truth) {
                types.put("boolean", DataTypes.BooleanType);
            }
            if (real) {
                types.put("double", DataTypes.DoubleType);
            }
            if (whole == HUGE) {
                types.put("decimal", DataTypes.createDecimalType(38, 0));
            } else if (whole > 0) {
                types.put(whole == INT ? "int" : "long", whole == INT ? DataTypes.IntegerType : DataTypes.LongType);
            }
            if (element != null) {
                types.put("array", new ArrayType(element.type(), true));
            }
            if (fields != null) {
                StructType made = new StructType();
                for (Map.Entry<String, Shape> one : fields.entrySet()) {
                    made = made.add(one.getKey(), one.getValue().type());
                }
                types.put("struct", made);
            }
            if (types.size() < 2) {
                return types.isEmpty() ? DataTypes.NullType : types.firstEntry().getValue();
            }
            StructType made = new StructType();
            for (Map.Entry<String, DataType> one : types.entrySet()) {
                made = made.add(MARK + one.getKey(), one.getValue());
            }
            return made;
        }
    }
}
