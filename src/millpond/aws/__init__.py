"""The seam: everything that the tooling asks of a cloud, local or AWS, through boto3 clients of a `Target`.

May import: errors, asl.
"""
