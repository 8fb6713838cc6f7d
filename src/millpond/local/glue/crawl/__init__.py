"""What a crawl does, in steps that are functions: list, classify, group, describe, compare, write.

    classify.py   one file -> what it holds (format, compression, columns, counts)
    grouping.py   files of an include path -> tables with partitions
    entries.py    a table -> the catalog entry that AWS's crawler would write
    objects.py, relations.py, delta.py, iceberg.py   one kind of target each -> entries (survey.py: what they share)
    changes.py    entries and the catalog -> what to create, update, deprecate or delete, by the crawler's policies
    run.py        a crawler's targets, all steps in order; the catalog is touched only by the last

May import: errors, and millpond.local's service and glue.
"""
