"""Turn a caught error into a message that a person can act on: which step, why, the end of its log, how to open it."""

import json

import boto3

LINES = 12


def handler(event, context):
    """`event`: step, error, cause, execution, flow. Returns subject (at most 100 characters, for SNS) and message."""
    cause = event.get("cause") or ""
    try:
        details = json.loads(cause)
    except ValueError:
        details = {}
    details = details if isinstance(details, dict) else {}
    reason = details.get("ErrorMessage") or details.get("FailureReason") or details.get("errorMessage") or cause
    execution = event["execution"].rsplit(":", 1)[-1]
    message = [
        f"The flow {event['flow']} failed in the step '{event['step']}'.",
        "",
        f"{event.get('error') or 'Error'}: {reason}",
        "",
        *log(details),
        f"Open it:  millpond show {execution}",
        f"Its log:  millpond logs {execution} '{event['step']}'",
    ]
    return {"subject": f"{event['flow']} failed: {event['step']}"[:100], "message": "\n".join(message)}


def log(details):
    """The last lines of the failed task's own log, where it has one."""
    if "JobRunId" in details or "JobName" in details:
        group, stream = "/aws-glue/jobs/error", details.get("Id") or details.get("JobRunId", "")
    elif "ProcessingJobName" in details:
        group, stream = "/aws/sagemaker/ProcessingJobs", f"{details['ProcessingJobName']}/algo-1"
    else:
        return [str(frame).rstrip() for frame in details.get("stackTrace", [])[-LINES:]]
    logs = boto3.client("logs")
    try:
        events = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=False)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return [f"({group} has no stream {stream})", ""]
    return [f"The end of {group}, {stream}:", *(event["message"].rstrip() for event in events[-LINES:]), ""]
