"""Lambda through boto3: functions really run, fail in AWS's words, and leave nothing behind."""

from __future__ import annotations

import base64
import io
import json
import os
import textwrap
import time
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from millpond.local.service import Endpoint

H = "index.handler"
ROLE = "arn:aws:iam::000000000000:role/any"


def packed(**files: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/") + ".py", textwrap.dedent(text))
    return out.getvalue()


@pytest.fixture
def lam(aws: Callable[[str], Any]) -> Any:
    return aws("lambda")


@pytest.fixture
def make(lam: Any) -> Callable[..., str]:
    def create(source: str, **more: Any) -> str:
        name = f"f-{uuid.uuid4().hex[:8]}"
        given = {"Runtime": "python3.12", "Role": ROLE, "Handler": "index.handler", "Timeout": 30, **more}
        lam.create_function(FunctionName=name, Code={"ZipFile": packed(index=source)}, **given)
        return name

    return create


def call(lam: Any, name: str, event: Any = None, **more: Any) -> tuple[Any, dict[str, Any]]:
    answer = lam.invoke(FunctionName=name, Payload=json.dumps(event), **more)
    return json.loads(answer["Payload"].read() or "null"), answer


def code(function: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        function(**params)
    return caught.value.response["Error"]["Code"]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 120
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def test_event_context_and_environment(
    lam: Any, make: Callable[..., str], endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the developer's own")
    monkeypatch.setenv("SECRET_TOKEN", "canary")
    name = make(
        """
        import os, sys
        def handler(event, context):
            return {"event": event, "name": context.function_name, "version": context.function_version,
                    "id": context.aws_request_id, "left": context.get_remaining_time_in_millis(),
                    "memory": context.memory_limit_in_mb, "arn": context.invoked_function_arn,
                    "env": dict(os.environ), "cwd": os.getcwd()}
        """,
        Environment={"Variables": {"COLOUR": "blue"}},
    )
    result, answer = call(lam, name, {"a": [1, "é"]})
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    assert result["event"] == {"a": [1, "é"]}
    assert (result["name"], result["version"], result["memory"]) == (name, "$LATEST", "128")
    assert 0 < result["left"] <= 30_000
    env = result["env"]
    assert (env["COLOUR"], env["_HANDLER"], env["AWS_ENDPOINT_URL"]) == ("blue", "index.handler", endpoint.url)
    assert env["LAMBDA_TASK_ROOT"] == result["cwd"]
    assert "canary" not in env.values()
    assert "AWS_SESSION_TOKEN" not in env
    assert env["AWS_ACCESS_KEY_ID"] != endpoint.access_key


def test_boto3_is_there_and_reaches_us_and_other_packages_are_not(lam: Any, make: Callable[..., str]) -> None:
    name = make(
        """
        import boto3
        def handler(event, context):
            try:
                import pyarrow
            except ImportError as error:
                return [str(error), boto3.client("sts").get_caller_identity()["Account"]]
        """,
        MemorySize=512,
    )
    assert call(lam, name)[0] == ["No module named 'pyarrow'", "000000000000"]


def test_a_warm_worker_is_used_again(lam: Any, make: Callable[..., str]) -> None:
    name = make(
        "import os\ncount = 0\ndef handler(e, c):\n    global count\n    count += 1\n    return [os.getpid(), count]"
    )
    first, second = call(lam, name)[0], call(lam, name)[0]
    assert first[0] == second[0]
    assert second[1] == 2
    lam.update_function_configuration(FunctionName=name, Description="new")
    assert call(lam, name)[0][1] == 1
    assert gone(first[0])
    lam.delete_function(FunctionName=name)


def test_an_exception(lam: Any, make: Callable[..., str]) -> None:
    name = make(
        """
        class Odd(Exception):
            pass
        def handler(event, context):
            deeper()
        def deeper():
            raise Odd("not today")
        """
    )
    result, answer = call(lam, name)
    assert answer["FunctionError"] == "Unhandled"
    assert (result["errorType"], result["errorMessage"]) == ("Odd", "not today")
    assert [line.split(", in ")[1].split("\n")[0] for line in result["stackTrace"]] == ["handler", "deeper"]
    assert "bootstrap" not in "".join(result["stackTrace"])
    assert result["stackTrace"][0] == '  File "/var/task/index.py", line 5, in handler\n    deeper()\n'
    assert "^" not in "".join(result["stackTrace"])


def test_a_syntax_error_shows_no_folder_of_this_machine(lam: Any, make: Callable[..., str]) -> None:
    result, _ = call(lam, make("def handler(:"))
    assert result["stackTrace"] == ['  File "/var/task/index.py" Line 1\n    def handler(:\n']


@pytest.mark.parametrize(
    ("source", "handler", "kind", "message"),
    [
        ("import no_such_thing", H, "Runtime.ImportModuleError", "module 'index': No module named 'no_such"),
        ("x = 1", H, "Runtime.HandlerNotFound", "'handler' missing on module 'index'"),
        ("x = 1", "other.handler", "Runtime.ImportModuleError", "module 'other': No module named 'other'"),
        ("def handler(:", H, "Runtime.UserCodeSyntaxError", "Syntax error in module 'index'"),
        ("x = 1", "index", "Runtime.MalformedHandlerName", "Bad handler 'index'"),
        ("1 / 0", H, "ZeroDivisionError", "division by zero"),
        ("import os; os._exit(3)", H, "Runtime.ExitError", "exited with error: exit status 3"),
        ("def handler(e, c):\n  import sys; sys.exit(1)", H, "Runtime.ExitError", "exit status 1"),
        ("def handler(e, c):\n  import os; os._exit(0)", H, "Runtime.ExitError", "without providing a reason"),
        ("import ctypes\ndef handler(e, c): ctypes.string_at(0)", H, "Runtime.ExitError", "segmentation fault"),
        ("def handler(e, c): return {1, 2}", H, "Runtime.MarshalError", "Object of type set is not JSON"),
        ("def handler(e, c): return b'x'", H, "Runtime.MarshalError", "Object of type bytes"),
        ("def handler(e, c):\n  x = []; x.append(x); return x", H, "Runtime.MarshalError", "Circular reference"),
        ("def handler(e, c): return 'x' * 7_000_000", H, "Function.ResponseSizeTooLarge", "size (6291556 bytes)"),
    ],
)  # fmt: skip
def test_errors_have_aws_names(
    lam: Any, make: Callable[..., str], source: str, handler: str, kind: str, message: str
) -> None:
    result, answer = call(lam, make(source, Handler=handler))
    assert answer["FunctionError"] == "Unhandled"
    assert result["errorType"] == kind
    assert message in result["errorMessage"]


def test_a_timeout_ends_the_whole_group(lam: Any, make: Callable[..., str], tmp_path: Path) -> None:
    source = f"""
        import os, signal, subprocess
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        def handler(event, context):
            if event == "again":
                return "healthy"
            child = subprocess.Popen(["sleep", "600"])
            open({str(tmp_path / "pids")!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
            while True:
                pass
        """
    for seconds in (1, 10, 60):  # until it gets as far before its time is over, on a machine however slow
        name = make(source, Timeout=seconds)
        result, answer = call(lam, name, LogType="Tail")
        assert result["errorType"] == "Sandbox.Timedout"
        if (tmp_path / "pids").exists():
            break
    assert result["errorMessage"].endswith(f"Error: Task timed out after {seconds}.00 seconds")
    assert f"Task timed out after {seconds}.00 seconds".encode() in base64.b64decode(answer["LogResult"])
    assert all(gone(int(pid)) for pid in (tmp_path / "pids").read_text().split())
    assert call(lam, name, "again")[0] == "healthy"


def test_too_much_memory(lam: Any, make: Callable[..., str]) -> None:
    name = make("import time\ndef handler(e, c):\n    x = bytearray(b'x') * 400_000_000\n    time.sleep(20)")
    result, _ = call(lam, name)
    assert result["errorType"] == "Runtime.OutOfMemory"
    assert "signal: killed" in result["errorMessage"]


def test_logs(lam: Any, make: Callable[..., str], aws: Callable[[str], Any]) -> None:
    name = make(
        """
        import logging
        logging.getLogger().setLevel(logging.INFO)
        def handler(event, context):
            print("one\\ntwo")
            logging.info("three\\nfour")
            raise ValueError("five")
        """
    )
    _, answer = call(lam, name, LogType="Tail")
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert request_id
    tail = base64.b64decode(answer["LogResult"]).decode()
    logs = aws("logs")
    stream = logs.describe_log_streams(logGroupName=f"/aws/lambda/{name}")["logStreams"][0]["logStreamName"]
    assert "[$LATEST]" in stream
    texts = [
        e["message"]
        for e in logs.get_log_events(logGroupName=f"/aws/lambda/{name}", logStreamName=stream, startFromHead=True)[
            "events"
        ]
    ]
    assert texts[0].startswith("INIT_START")
    assert texts[1].startswith("START RequestId: ")
    assert texts[2:4] == ["one", "two"]
    assert texts[4].startswith("[INFO]\t")
    assert texts[4].endswith("three\nfour")
    assert texts[5].startswith("[ERROR] ValueError: five\nTraceback")
    assert texts[6].startswith("END RequestId: ")
    assert texts[7].startswith("REPORT RequestId: ")
    assert "Init Duration: " in texts[7]
    assert "one\ntwo\n" in tail


def test_a_flood_of_log_is_cut_in_the_middle(lam: Any, make: Callable[..., str], aws: Callable[[str], Any]) -> None:
    name = make("def handler(e, c):\n    for n in range(100_000): print(f'line {n:06d} ' + 'x' * 20)")
    call(lam, name)
    logs = aws("logs")
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
    texts = [event["message"] for page in pages for event in page["events"]]
    assert any("are left out" in text for text in texts)
    assert any(text.startswith("line 000000") for text in texts)
    assert any(text.startswith("line 099999") for text in texts)
    assert sum(map(len, texts)) < 3_000_000


def test_asynchronous_events(lam: Any, make: Callable[..., str], tmp_path: Any) -> None:
    name = make(f"def handler(e, c): open({str(tmp_path / 'out')!r}, 'w').write(str(e))")
    answer = lam.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"x": 1}')
    assert answer["StatusCode"] == 202
    deadline = time.monotonic() + 120
    while not ((tmp_path / "out").exists() and (tmp_path / "out").read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (tmp_path / "out").read_text() == "{'x': 1}"
    assert lam.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204


def test_a_failed_event_reaches_its_destination(lam: Any, make: Callable[..., str], aws: Callable[[str], Any]) -> None:
    sqs = aws("sqs")
    url = sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    name = make("def handler(e, c): raise KeyError('k')")
    lam.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    lam.invoke(FunctionName=name, InvocationType="Event", Payload=b"[1]")
    came: list[Any] = []
    while not came:
        came = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", [])
    record = json.loads(came[0]["Body"])
    assert record["requestPayload"] == [1]
    assert record["responsePayload"]["errorType"] == "KeyError"
    assert record["requestContext"]["condition"] == "RetriesExhausted"


def test_settings_of_asynchronous_invocation(lam: Any, make: Callable[..., str]) -> None:
    name = make("def handler(e, c): return 1")
    version = lam.publish_version(FunctionName=name)["Version"]
    assert lam.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"] == []
    for qualifier, retries in (("$LATEST", 0), (version, 2)):
        lam.put_function_event_invoke_config(FunctionName=name, Qualifier=qualifier, MaximumRetryAttempts=retries)
    pages = lam.get_paginator("list_function_event_invoke_configs")
    found = pages.paginate(FunctionName=name, PaginationConfig={"PageSize": 1}).build_full_result()
    shown = {one["FunctionArn"].rpartition(":")[2]: one for one in found["FunctionEventInvokeConfigs"]}
    assert {qualifier: one["MaximumRetryAttempts"] for qualifier, one in shown.items()} == {"$LATEST": 0, version: 2}
    lam.delete_function_event_invoke_config(FunctionName=name, Qualifier=version)
    again = {"FunctionName": name, "Qualifier": version}
    assert code(lam.delete_function_event_invoke_config, **again) == "ResourceNotFoundException"
    assert code(lam.list_function_event_invoke_configs, FunctionName="never") == "ResourceNotFoundException"
    made = lam.get_function_configuration(FunctionName=name)
    lam.delete_function(FunctionName=name)
    same = {key: made[key] for key in ("FunctionName", "Runtime", "Role", "Handler")}
    lam.create_function(**same, Code={"ZipFile": packed(index="")})
    assert lam.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"] == []


def test_reserved_concurrency_throttles(lam: Any, make: Callable[..., str]) -> None:
    name = make("def handler(e, c): return 1")
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    assert code(lam.invoke, FunctionName=name) == "TooManyRequestsException"
    lam.delete_function_concurrency(FunctionName=name)
    assert call(lam, name)[0] == 1
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)  # a worker is there, and waits
    assert code(lam.invoke, FunctionName=name) == "TooManyRequestsException"
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    assert call(lam, name)[0] == 1


def test_parallel_calls_have_workers_of_their_own(
    lam: Any, make: Callable[..., str], endpoint: Endpoint, tmp_path: Path
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    name = make(
        f"""
        import os, pathlib, time
        def handler(event, context):
            (there := pathlib.Path({str(tmp_path)!r}, f"{{os.getpid()}}.worker")).touch()
            while len(list(there.parent.glob("*.worker"))) < 2:  # the first one waits for the second
                time.sleep(0.01)
            return os.getpid()
        """
    )
    loopback = endpoint.client("lambda")
    with ThreadPoolExecutor(8) as threads:
        pids = list(threads.map(lambda _: call(loopback, name)[0], range(8)))
    assert 2 <= len(set(pids)) <= 4


def test_what_invoke_refuses(lam: Any, make: Callable[..., str]) -> None:
    name = make("def handler(e, c): return e")
    assert call(lam, name, "x" * 6_000_000)[0] == "x" * 6_000_000
    assert code(lam.invoke, FunctionName=name, Payload=b"{") == "InvalidRequestContentException"
    assert code(lam.invoke, FunctionName=name, Payload=b'"' + b"x" * 7_000_000 + b'"') == "RequestTooLargeException"
    assert code(lam.invoke, FunctionName=name, InvocationType="Later") == "ValidationException"
    assert code(lam.invoke, FunctionName=name, LogType="Head") == "ValidationException"
    assert code(lam.invoke, FunctionName="never") == "ResourceNotFoundException"
    assert code(lam.invoke, FunctionName=name, Qualifier="7") == "ResourceNotFoundException"
    assert lam.invoke(FunctionName=name)["Payload"].read() == b"{}"
