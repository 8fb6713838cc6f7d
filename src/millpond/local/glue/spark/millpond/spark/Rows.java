package millpond.spark;

import java.util.concurrent.atomic.AtomicLong;
import org.apache.spark.Success$;
import org.apache.spark.executor.TaskMetrics;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerTaskEnd;

/** Counts the records that a run's tasks read from and write to data sources, as Glue's recordsRead metric does. */
public final class Rows extends SparkListener {
    private static final AtomicLong READ = new AtomicLong();
    private static final AtomicLong WRITTEN = new AtomicLong();

    static void reset() {
        READ.set(0);
        WRITTEN.set(0);
    }

    static String counted() {
        return READ.get() + " " + WRITTEN.get();
    }

    @Override
    public void onTaskEnd(SparkListenerTaskEnd end) {
        TaskMetrics metrics = end.taskMetrics();
        if (metrics != null && end.reason() == Success$.MODULE$) {
            READ.addAndGet(metrics.inputMetrics().recordsRead());
            WRITTEN.addAndGet(metrics.outputMetrics().recordsWritten());
        }
    }
}
