package millpond.spark;

/** Counts the rows of one CSV file whose values are more than its columns, byte by byte. */
final class LongRows {
    private final int separator;
    private final int quote;
    private final int escape;
    private final boolean lines; // a value in quotes may have several lines
    private int columns;
    private int field;
    private boolean written; // the row has something
    private boolean beyond; // ... behind its last column
    private boolean start = true; // of a value
    private boolean inside; // quotes
    private boolean closed; // by the sign before
    private boolean taken; // the next sign is what it is
    private long rows;

    LongRows(int columns, int separator, int quote, int escape, boolean lines) {
        this.columns = columns;
        this.separator = separator;
        this.quote = quote;
        this.escape = escape;
        this.lines = lines;
    }

    void look(byte[] bytes, int count) {
        for (int at = 0; at < count; at++) {
            int sign = bytes[at];
            if (sign == '\n' && !(inside && lines)) {
                end();
            } else if (taken) {
                taken = false;
                value();
            } else if (escape != 0 && sign == escape) {
                taken = true;
            } else if (inside) {
                inside(sign);
            } else {
                outside(sign);
            }
        }
    }

    private void inside(int sign) {
        if (sign == quote) {
            inside = false;
            closed = true;
        } else {
            value();
        }
    }

    private void outside(int sign) {
        if (quote != 0 && sign == quote && (start || closed)) {
            inside = true;
            start = false;
            written = true;
        } else if (sign == separator) {
            field++;
            start = true;
            written = true;
        } else if (sign != '\r' && sign != ' ') {
            value();
        }
        closed = false;
    }

    private void value() {
        start = false;
        written = true;
        beyond |= columns > 0 && field >= columns;
    }

    private void end() {
        if (written && columns == 0) {
            columns = field + 1;
        } else if (beyond) {
            rows++;
        }
        field = 0;
        written = beyond = inside = closed = taken = false;
        start = true;
    }

    /** The rows so far; the last one needs no line end. */
    long over() {
        end();
        return rows;
    }
}
