"""The local AWS: one process, one port on 127.0.0.1, that answers AWS's APIs and really does the work.

May import: errors, asl, engine. Never the tooling (cli, deploy, stack, resources, project, aws).
"""
