package millpond.spark;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TimeZone;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.compress.CompressionCodec;
import org.apache.hadoop.io.compress.CompressionCodecFactory;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.core.config.Configurator;
import org.apache.spark.SparkContext;
import org.apache.spark.sql.SparkSession;
import scala.Option;

/** One JVM serves several job runs, one after the other: begin() gives a run its settings, end() takes all back. */
public final class Driver {
    private static Properties before;

    private Driver() {}

    /** System properties are the defaults of each SparkConf that the run makes. */
    public static synchronized void begin(Map<String, String> settings) {
        Rows.reset();
        before = (Properties) System.getProperties().clone();
        settings.forEach(System::setProperty);
    }

    /** Stop what the run left running; leave the JVM as begin() found it. Returns the records read and written. */
    public static synchronized String end() throws IOException {
        Option<SparkContext> left = org.apache.spark.SparkContext$.MODULE$.getActive();
        if (left.isDefined()) {
            left.get().stop();
        }
        SparkSession.clearDefaultSession();
        SparkSession.clearActiveSession();
        FileSystem.closeAll();
        if (before != null) {
            System.setProperties(before);
            before = null;
        }
        TimeZone.setDefault(null);
        Configurator.setRootLevel(Level.WARN);
        return Rows.counted();
    }

    /** All objects below `prefix`, as lines of modification time (ms), size and URI, separated by tabs. */
    public static String list(String prefix, Configuration conf) throws IOException {
        Path path = new Path(prefix);
        FileSystem files = path.getFileSystem(conf);
        List<String> lines = new ArrayList<>();
        Deque<Path> folders = new ArrayDeque<>();
        folders.push(path);
        while (!folders.isEmpty()) {
            Path folder = folders.pop();
            for (FileStatus file : files.listStatus(folder)) {
                if (!file.isDirectory()) {
                    lines.add(file.getModificationTime() + "\t" + file.getLen() + "\t" + file.getPath());
                } else if (!file.getPath().getName().equals("_temporary")) { // that name is Spark's own, never read
                    folders.push(file.getPath());
                }
            }
        }
        return String.join("\n", lines);
    }

    /** The first line of each of the files (URIs, a line each), unpacked, a line each; empty for a file without any. */
    public static String firstLines(String uris, Configuration conf) throws IOException {
        CompressionCodecFactory codecs = new CompressionCodecFactory(conf);
        List<String> lines = new ArrayList<>();
        for (String uri : uris.split("\n")) {
            Path path = new Path(uri);
            CompressionCodec codec = codecs.getCodec(path);
            try (InputStream raw = path.getFileSystem(conf).open(path);
                    InputStream data = codec == null ? raw : codec.createInputStream(raw);
                    BufferedReader reader = new BufferedReader(new InputStreamReader(data, StandardCharsets.UTF_8))) {
                String line = reader.readLine();
                lines.add(line == null ? "" : line);
            }
        }
        return String.join("\n", lines);
    }

    /** Whether one of the files (URIs, a line each), unpacked, has a text in it. */
    public static boolean holds(String uris, String text, Configuration conf) throws IOException {
        CompressionCodecFactory codecs = new CompressionCodecFactory(conf);
        byte[] wanted = text.getBytes(StandardCharsets.UTF_8);
        byte[] bytes = new byte[1 << 20];
        for (String uri : uris.split("\n")) {
            Path path = new Path(uri);
            CompressionCodec codec = codecs.getCodec(path);
            try (InputStream raw = path.getFileSystem(conf).open(path);
                    InputStream data = codec == null ? raw : codec.createInputStream(raw)) {
                int kept = 0; // of the block before: the text may begin there
                for (int read = data.read(bytes); read >= 0; read = data.read(bytes, kept, bytes.length - kept)) {
                    int end = kept + read;
                    if (at(bytes, end, wanted)) {
                        return true;
                    }
                    kept = Math.min(end, wanted.length - 1);
                    System.arraycopy(bytes, end - kept, bytes, 0, kept);
                }
            }
        }
        return false;
    }

    private static boolean at(byte[] bytes, int end, byte[] wanted) {
        for (int start = 0; start <= end - wanted.length; start++) {
            int same = 0;
            while (same < wanted.length && bytes[start + same] == wanted[same]) {
                same++;
            }
            if (same == wanted.length) {
                return true;
            }
        }
        return false;
    }

    /**
     * The first of the files (URIs, a line each) that is not UTF-8, or that cannot be read to its end: its URI, a tab
     * and the reason; nothing when all are. At most `most` bytes are looked at, unpacked.
     */
    public static String unreadable(String uris, long most, Configuration conf) {
        CompressionCodecFactory codecs = new CompressionCodecFactory(conf);
        long left = most;
        for (String uri : uris.split("\n")) {
            Path path = new Path(uri);
            CompressionCodec codec = codecs.getCodec(path);
            CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder();
            ByteBuffer bytes = ByteBuffer.allocate(1 << 16);
            CharBuffer text = CharBuffer.allocate(1 << 16); // a byte is at most one character: never too small
            try (InputStream raw = path.getFileSystem(conf).open(path);
                    InputStream data = codec == null ? raw : codec.createInputStream(raw)) {
                boolean more = true;
                while (more && left > 0) {
                    int read = data.read(bytes.array(), bytes.position(), bytes.remaining());
                    more = read >= 0;
                    left -= Math.max(0, read);
                    bytes.position(bytes.position() + Math.max(0, read));
                    bytes.flip();
                    text.clear();
                    if (decoder.decode(bytes, text, !more).isError()) {
                        return uri + "\tit is not encoded in UTF-8";
                    }
                    bytes.compact();
                }
            } catch (IOException | RuntimeException error) {
                return uri + "\t" + error.getMessage();
            }
        }
        return "";
    }

    /**
     * The CSV files (URIs, a line each) with rows that have more values than there are columns, what is beyond not being
     * empty: their URI, a tab and how many such rows, a line each. Without `columns` (0) the first row of a file counts.
     * The signs are single bytes, 0 for none; at most `most` bytes are looked at, unpacked.
     */
    public static String longRows(
            String uris, int columns, int separator, int quote, int escape, boolean lines, long most, Configuration conf)
            throws IOException {
        CompressionCodecFactory codecs = new CompressionCodecFactory(conf);
        List<String> found = new ArrayList<>();
        byte[] bytes = new byte[1 << 16];
        long left = most;
        for (String uri : uris.split("\n")) {
            Path path = new Path(uri);
            CompressionCodec codec = codecs.getCodec(path);
            LongRows rows = new LongRows(columns, separator, quote, escape, lines);
            try (InputStream raw = path.getFileSystem(conf).open(path);
                    InputStream data = codec == null ? raw : codec.createInputStream(raw)) {
                for (int read = data.read(bytes); read >= 0 && left > 0; read = data.read(bytes)) {
                    rows.look(bytes, read);
                    left -= read;
                }
            }
            if (rows.over() > 0) {
                found.add(uri + "\t" + rows.over());
            }
        }
        return String.join("\n", found);
    }
}
