"""Interactive sessions: statements on real Spark, as notebooks send them; they survive the endpoint."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

sys.path.insert(0, str(Path(__file__).parent))
from endpoint_process import until
from test_glue_jobs_survive import Lasting

from millpond import runtime

pytestmark = [pytest.mark.spark, pytest.mark.slow]
ROLE = "arn:aws:iam::000000000000:role/notebook"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Lasting]:
    runtime.install("5.1", print)
    made = Lasting(tmp_path / ".millpond")
    yield made
    made.stop()


def refused(code: str, call: Callable[..., Any], **params: Any) -> None:
    with pytest.raises(ClientError) as caught:
        call(**params)
    assert caught.value.response["Error"]["Code"] == code, caught.value


class Notebook:
    def __init__(self, glue: Any, name: str, **more: Any) -> None:
        self.glue, self.name = glue, name
        glue.create_session(Id=name, Role=ROLE, Command={"Name": "glueetl", "PythonVersion": "3"}, **more)

    def status(self) -> str:
        found: str = self.glue.get_session(Id=self.name)["Session"]["Status"]
        return found

    def look(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.glue.get_statement(SessionId=self.name, Id=number)["Statement"]
        return found

    def send(self, code: str) -> int:
        number: int = self.glue.run_statement(SessionId=self.name, Code=code)["Id"]
        return number

    def over(self, number: int) -> dict[str, Any]:
        until(lambda: self.look(number)["State"] in ("AVAILABLE", "ERROR", "CANCELLED"))
        return self.look(number)

    def run(self, code: str) -> dict[str, Any]:
        return self.over(self.send(code))

    def text(self, code: str) -> str:
        told = self.run(code)
        assert (told["State"], told["Output"]["Status"]) == ("AVAILABLE", "ok"), told
        found: str = told["Output"]["Data"]["TextPlain"]
        return found


def test_a_notebook(process: Lasting, tmp_path: Path) -> None:
    glue = process.shop.aws("glue")
    book = Notebook(glue, "analysis/1", Tags={"team": "data"}, DefaultArguments={"--conf": "spark.x=y"})
    refused("IllegalSessionStateException", glue.run_statement, SessionId=book.name, Code="1")  # no JVM is so quick
    refused("AlreadyExistsException", glue.create_session, Id=book.name, Role=ROLE, Command={"Name": "glueetl"})
    refused("InvalidInputException", glue.create_session, Id="x", Role=ROLE, Command={"Name": "pythonshell"})
    until(lambda: book.status() == "READY")
    assert book.text("1 + 1") == "2\n"
    assert book.text("x = 20\nprint('said')\ndef f(n):\n    return n + 1\n") == "said\n"
    assert book.text("f(x)") == "21\n"
    assert "|  2|" in book.text("spark.range(3).show()")
    assert book.text("(sc.appName, spark.conf.get('spark.x'))") == "('analysis/1', 'y')\n"
    assert book.text("") == ""
    failed = book.run("print('before')\ng = lambda: 1 / 0\ng()")
    output = failed["Output"]
    assert (failed["State"], output["Status"], output["ErrorName"]) == ("ERROR", "error", "ZeroDivisionError")
    assert output["ErrorValue"] == "division by zero" and output["Data"]["TextPlain"] == "before\n"
    assert "g = lambda: 1 / 0" in "\n".join(output["Traceback"]) and "session_repl" not in str(output["Traceback"])
    assert book.run("if")["Output"]["ErrorName"] == "SyntaxError"
    assert book.run("import sys; sys.exit(1)")["Output"]["ErrorName"] == "SystemExit"
    assert book.run("spark.table('none')")["Output"]["ErrorName"] == "AnalysisException"
    assert book.text("x") == "20\n"  # nothing of that ended the session

    long = book.send("import time\nfor n in range(600): time.sleep(0.5)")
    queued = book.send("print('never')")
    until(lambda: book.look(long)["State"] == "RUNNING")
    assert book.look(queued)["State"] == "WAITING"
    glue.cancel_statement(SessionId=book.name, Id=queued)
    glue.cancel_statement(SessionId=book.name, Id=long)
    assert [book.over(n)["State"] for n in (long, queued)] == ["CANCELLED"] * 2
    spark = book.send(
        "from pyspark.sql.functions import udf\n"
        "slow = udf(lambda n: __import__('time').sleep(0.2) or n)\n"
        "spark.range(400).repartition(40).select(slow('id')).write.format('noop').mode('overwrite').save()"
    )
    until(lambda: 0 < book.look(spark)["Progress"] < 1)
    glue.cancel_statement(SessionId=book.name, Id=spark)
    assert book.over(spark)["State"] == "CANCELLED"
    assert book.text("spark.range(5).count()") == "5\n"

    statements = glue.list_statements(SessionId=book.name)["Statements"]
    assert [one["Id"] for one in statements] == list(range(len(statements)))
    assert statements[0]["Code"] == "1 + 1" and statements[0]["StartedOn"] <= statements[0]["CompletedOn"]
    refused("EntityNotFoundException", glue.get_statement, SessionId=book.name, Id=999)
    refused("EntityNotFoundException", glue.get_statement, SessionId="none", Id=0)
    refused("EntityNotFoundException", glue.get_session, Id="none")
    assert glue.list_sessions(Tags={"team": "data"})["Ids"] == [book.name]

    survives(process, book, tmp_path / "block")


def survives(process: Lasting, book: Notebook, block: Path) -> None:
    """kill -9 of the endpoint, also during a statement: variables and the statement are still there."""
    block.touch()
    number = book.send(f"import os, time\nwhile os.path.exists({str(block)!r}): time.sleep(0.05)\n'slept'")
    until(lambda: book.look(number)["State"] == "RUNNING")
    process.kill()
    process.up()
    block.unlink()
    glue = book.glue = process.shop.aws("glue")
    assert book.over(number)["Output"]["Data"]["TextPlain"] == "'slept'\n"
    assert book.text("f(x)") == "21\n"
    pid = int(book.text("import os; os.getpid()"))
    glue.stop_session(Id=book.name)
    until(lambda: book.status() == "STOPPED")
    refused("IllegalSessionStateException", glue.stop_session, Id=book.name)
    refused("IllegalSessionStateException", glue.run_statement, SessionId=book.name, Code="1")
    refused("IllegalSessionStateException", glue.get_statement, SessionId=book.name, Id=0)
    session = glue.get_session(Id=book.name)["Session"]
    assert session["CompletedOn"] >= session["CreatedOn"] and session["DPUSeconds"] > 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    glue.delete_session(Id=book.name)
    refused("EntityNotFoundException", glue.get_session, Id=book.name)

    dies = Notebook(glue, "dies")
    until(lambda: dies.status() == "READY")
    pid = int(dies.text("import os; os.getpid()"))
    os.kill(pid, signal.SIGKILL)
    until(lambda: dies.status() == "FAILED")
    assert "exit code" in glue.get_session(Id="dies")["Session"]["ErrorMessage"]
    glue.delete_session(Id="dies")
    assert glue.list_sessions()["Ids"] == []


def test_an_idle_session_times_out(aws: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from millpond.local.glue import job_runs

    monkeypatch.setattr(job_runs, "MINUTE", 1.0)
    book = Notebook(aws("glue"), "idle", IdleTimeout=1)
    until(lambda: book.status() == "TIMEOUT")
    time.sleep(0)
