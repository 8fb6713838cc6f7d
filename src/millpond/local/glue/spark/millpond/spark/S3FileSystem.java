package millpond.spark;

import java.io.BufferedOutputStream;
import java.io.EOFException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.OutputStream;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Paths;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.UUID;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.BufferedFSInputStream;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FSInputStream;
import org.apache.hadoop.fs.FileAlreadyExistsException;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.ParentNotDirectoryException;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.PathIsNotEmptyDirectoryException;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.util.Progressable;

/**
 * s3://, s3a:// and s3n:// on a folder: the object s3://bucket/key is the file root/bucket/key.
 *
 * A file becomes visible only when it is whole. It is written in the stage, a folder beside the bucket tree, and moved
 * into the tree when its writer closes it without an error. Hadoop's and Spark's own staging folders (_temporary,
 * .spark-staging-*) live in the stage altogether, so a job that is killed leaves nothing in a bucket. A moved file gets
 * the time of the move, as an uploaded object does: bookmarks rely on that.
 *
 * Symbolic links are never followed and are not objects. No segment of a key may be empty, "." or "..".
 *
 * Settings: fs.millpond.root (the folder that holds one folder a bucket), fs.millpond.stage (same file system, one JVM's).
 */
public final class S3FileSystem extends FileSystem {
    private static final long BLOCK = 128L << 20;
    private static final int ATTEMPTS = 5;

    private URI uri;
    private java.nio.file.Path root;
    private java.nio.file.Path stage;
    private Path working;

    @Override
    public void initialize(URI name, Configuration conf) throws IOException {
        super.initialize(name, conf);
        setConf(conf);
        if (name.getAuthority() == null) {
            throw new IOException("no bucket in " + name);
        }
        uri = URI.create(name.getScheme() + "://" + name.getAuthority());
        working = new Path(name.getScheme(), name.getAuthority(), "/");
        root = setting(conf, "fs.millpond.root");
        stage = setting(conf, "fs.millpond.stage");
    }

    private static java.nio.file.Path setting(Configuration conf, String name) throws IOException {
        String value = conf.get(name);
        if (value == null) {
            throw new IOException(name + " is not set");
        }
        return Paths.get(value).toAbsolutePath();
    }

    @Override
    public String getScheme() {
        return uri == null ? "s3" : uri.getScheme();
    }

    @Override
    public URI getUri() {
        return uri;
    }

    @Override
    public long getDefaultBlockSize(Path path) {
        return BLOCK;
    }

    @Override
    public Path getWorkingDirectory() {
        return working;
    }

    @Override
    public Path getHomeDirectory() {
        return new Path(uri.getScheme(), uri.getAuthority(), "/");
    }

    @Override
    public void setWorkingDirectory(Path path) {
        working = makeQualified(path);
    }

    // ---- where a path is on the disk

    /** A path of this file system, as its file; `staged` when it lies in a staging folder. */
    private final class Place {
        final Path path;
        final java.nio.file.Path home;
        final java.nio.file.Path file;
        final boolean staged;

        Place(Path given) throws IOException {
            path = makeQualified(given);
            checkPath(path);
            String bucket = path.toUri().getAuthority();
            if (!bucket.matches("[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
                    || !Files.isDirectory(root.resolve(bucket), LinkOption.NOFOLLOW_LINKS)) {
                throw new IOException("NoSuchBucket: " + bucket);
            }
            List<String> segments = new ArrayList<>();
            boolean inStage = false;
            for (String segment : path.toUri().getPath().split("/")) {
                if (!segment.isEmpty()) {
                    segments.add(checked(segment));
                    inStage |= segment.equals("_temporary") || segment.startsWith(".spark-staging");
                }
            }
            staged = inStage;
            home = (staged ? stage : root).resolve(bucket);
            java.nio.file.Path found = home;
            for (String segment : segments) {
                found = found.resolve(segment);
                if (Files.isSymbolicLink(found)) {
                    throw new FileNotFoundException(path + " is behind a symbolic link");
                }
            }
            file = found;
        }

        private String checked(String segment) throws IOException {
            if (segment.equals(".") || segment.equals("..") || segment.indexOf('\0') >= 0
                    || segment.getBytes(StandardCharsets.UTF_8).length > 255) {
                throw new IOException("InvalidKey: " + path + " cannot be a file");
            }
            return segment;
        }

        boolean isRoot() {
            return file.equals(home);
        }

        boolean exists() {
            return Files.exists(file, LinkOption.NOFOLLOW_LINKS);
        }

        boolean isDirectory() {
            return Files.isDirectory(file, LinkOption.NOFOLLOW_LINKS);
        }

        FileStatus status() throws IOException {
            return S3FileSystem.this.status(file, path);
        }
    }

    private FileStatus status(java.nio.file.Path file, Path path) throws IOException {
        try {
            BasicFileAttributes found = Files.readAttributes(file, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
            long length = found.isDirectory() ? 0 : found.size();
            return new FileStatus(length, found.isDirectory(), 1, BLOCK, found.lastModifiedTime().toMillis(), path);
        } catch (NoSuchFileException missing) {
            throw new FileNotFoundException("No such key: " + path);
        } catch (java.nio.file.FileSystemException odd) {
            if (Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
                throw odd;
            }
            throw new FileNotFoundException("No such key: " + path); // a parent is a file
        }
    }

    // ---- reading

    @Override
    public FileStatus getFileStatus(Path path) throws IOException {
        return new Place(path).status();
    }

    @Override
    public FileStatus[] listStatus(Path path) throws IOException {
        Place place = new Place(path);
        FileStatus own = place.status();
        if (!own.isDirectory()) {
            return new FileStatus[] {own};
        }
        List<FileStatus> found = new ArrayList<>();
        String folder = place.path.toUri().getPath();
        try (DirectoryStream<java.nio.file.Path> children = Files.newDirectoryStream(place.file)) {
            for (java.nio.file.Path child : children) {
                if (Files.isRegularFile(child, LinkOption.NOFOLLOW_LINKS)
                        || Files.isDirectory(child, LinkOption.NOFOLLOW_LINKS)) {
                    String key = (folder.endsWith("/") ? folder : folder + "/") + child.getFileName();
                    try {
                        found.add(status(child, new Path(uri.getScheme(), uri.getAuthority(), key)));
                    } catch (FileNotFoundException gone) {
                        continue; // deleted while we look: not there
                    }
                }
            }
        }
        FileStatus[] sorted = found.toArray(new FileStatus[0]);
        Arrays.sort(sorted);
        return sorted;
    }

    @Override
    public FSDataInputStream open(Path path, int bufferSize) throws IOException {
        Place place = new Place(path);
        if (place.status().isDirectory()) {
            throw new FileNotFoundException(place.path + " is a prefix, not an object");
        }
        return new FSDataInputStream(new BufferedFSInputStream(new Reading(place.file), Math.max(bufferSize, 1 << 16)));
    }

    private final class Reading extends FSInputStream {
        private final FileChannel channel;
        private long at;

        Reading(java.nio.file.Path file) throws IOException {
            channel = FileChannel.open(file, StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS);
        }

        @Override
        public void seek(long position) throws IOException {
            if (position < 0) {
                throw new EOFException("cannot seek to " + position);
            }
            at = position;
        }

        @Override
        public long getPos() {
            return at;
        }

        @Override
        public boolean seekToNewSource(long target) {
            return false;
        }

        @Override
        public int available() throws IOException {
            return (int) Math.max(0, Math.min(Integer.MAX_VALUE, channel.size() - at));
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] into, int offset, int length) throws IOException {
            int count = read(at, into, offset, length);
            at += Math.max(count, 0);
            return count;
        }

        @Override
        public int read(long position, byte[] into, int offset, int length) throws IOException {
            if (length == 0) {
                return 0;
            }
            int count = channel.read(ByteBuffer.wrap(into, offset, length), position);
            if (count > 0 && statistics != null) {
                statistics.incrementBytesRead(count);
            }
            return count;
        }

        @Override
        public void close() throws IOException {
            channel.close();
        }
    }

    // ---- writing

    @Override
    public FSDataOutputStream create(Path path, FsPermission permission, boolean overwrite, int bufferSize,
            short replication, long blockSize, Progressable progress) throws IOException {
        Place place = new Place(path);
        if (place.isDirectory()) {
            throw new FileAlreadyExistsException(place.path + " is a prefix that holds objects");
        }
        if (place.exists() && !overwrite) {
            throw new FileAlreadyExistsException(place.path + " exists");
        }
        OutputStream buffered = new BufferedOutputStream(new Writing(place), Math.max(bufferSize, 1 << 16));
        return new FSDataOutputStream(buffered, statistics);
    }

    /** Writes beside the tree; close() moves the whole file into it, unless a write had failed. */
    private final class Writing extends OutputStream {
        private final Place place;
        private final java.nio.file.Path part;
        private final FileChannel channel;
        private boolean failed;
        private boolean closed;

        Writing(Place place) throws IOException {
            this.place = place;
            java.nio.file.Path open = Files.createDirectories(stage.resolve(".open"));
            part = open.resolve(UUID.randomUUID().toString());
            channel = FileChannel.open(part, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        }

        @Override
        public void write(int one) throws IOException {
            write(new byte[] {(byte) one}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int offset, int length) throws IOException {
            try {
                ByteBuffer rest = ByteBuffer.wrap(bytes, offset, length);
                while (rest.hasRemaining()) {
                    channel.write(rest);
                }
            } catch (IOException full) {
                failed = true;
                throw full;
            }
        }

        @Override
        public void close() throws IOException {
            if (closed) {
                return;
            }
            closed = true;
            try {
                channel.close();
                if (!failed) {
                    move(part, place.file, place.path);
                }
            } finally {
                Files.deleteIfExists(part);
            }
        }
    }

    /** Move a file or a folder to its place, in one step; makes missing parents (a delete may prune them meanwhile). */
    private void move(java.nio.file.Path from, java.nio.file.Path to, Path shown) throws IOException {
        for (int attempt = 1;; attempt++) {
            try {
                Files.createDirectories(to.getParent());
                Files.move(from, to, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
                return;
            } catch (java.nio.file.FileAlreadyExistsException clash) {
                throw new ParentNotDirectoryException(shown + ": a part of the key is an object, which a disk cannot hold");
            } catch (NoSuchFileException pruned) {
                if (attempt == ATTEMPTS) {
                    throw pruned;
                }
            }
        }
    }

    @Override
    public FSDataOutputStream append(Path path, int bufferSize, Progressable progress) throws IOException {
        throw new UnsupportedOperationException("S3 objects cannot be appended to: " + path);
    }

    @Override
    public boolean rename(Path source, Path target) throws IOException {
        Place from = new Place(source);
        Place to = new Place(target);
        if (!from.exists() || from.isRoot()) {
            return false;
        }
        if (to.isDirectory()) {
            to = new Place(new Path(to.path, from.path.getName()));
        }
        if (to.exists()) {
            return false;
        }
        if (!to.staged) {
            touch(from.file);
        }
        move(from.file, to.file, to.path);
        prune(from);
        return true;
    }

    private static void touch(java.nio.file.Path tree) throws IOException {
        FileTime now = FileTime.from(java.time.Instant.now());
        Files.walkFileTree(tree, new SimpleFileVisitor<java.nio.file.Path>() {
            @Override
            public FileVisitResult visitFile(java.nio.file.Path file, BasicFileAttributes found) throws IOException {
                if (found.isRegularFile()) {
                    Files.setLastModifiedTime(file, now);
                }
                return FileVisitResult.CONTINUE;
            }
        });
    }

    @Override
    public boolean delete(Path path, boolean recursive) throws IOException {
        Place place = new Place(path);
        if (!place.exists()) {
            return false;
        }
        if (place.isDirectory() && !recursive && listStatus(path).length > 0) {
            throw new PathIsNotEmptyDirectoryException(place.path.toString());
        }
        Files.walkFileTree(place.file, new SimpleFileVisitor<java.nio.file.Path>() {
            @Override
            public FileVisitResult visitFile(java.nio.file.Path file, BasicFileAttributes found) throws IOException {
                Files.deleteIfExists(file);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(java.nio.file.Path folder, IOException error) throws IOException {
                if (error != null) {
                    throw error;
                }
                if (!folder.equals(place.home)) {
                    Files.deleteIfExists(folder);
                }
                return FileVisitResult.CONTINUE;
            }
        });
        prune(place);
        return true;
    }

    /** A folder without objects is not a prefix: remove empty parents, never the bucket. */
    private static void prune(Place gone) {
        java.nio.file.Path folder = gone.file.getParent();
        while (folder != null && folder.startsWith(gone.home) && !folder.equals(gone.home)) {
            try {
                Files.delete(folder);
            } catch (IOException notEmpty) {
                return;
            }
            folder = folder.getParent();
        }
    }

    @Override
    public boolean mkdirs(Path path, FsPermission permission) throws IOException {
        Place place = new Place(path);
        try {
            Files.createDirectories(place.file);
        } catch (java.nio.file.FileAlreadyExistsException clash) {
            throw new ParentNotDirectoryException(place.path + ": a part of the key is an object");
        }
        return true;
    }
}
