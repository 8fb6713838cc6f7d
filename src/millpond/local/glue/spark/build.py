"""Build millpond-spark.jar from the sources beside this file. For developers: the jar is committed.

    python build.py [JARS]     # JARS: pyspark's jars folder; default: the installed Glue 5.1 runtime's

The jar is the same bytes for the same compiler: fixed times, sorted entries. Needs a javac of 17.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
JAR = HERE / "millpond-spark.jar"
EPOCH = (1980, 1, 1, 0, 0, 0)


def compile_classes(jars: Path, into: Path) -> dict[str, bytes]:
    """Class files by their name in the jar. Raises subprocess.CalledProcessError with javac's words."""
    sources = sorted(str(path) for path in (HERE / "millpond" / "spark").glob("*.java"))
    quick = ("-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC", "-proc:none")  # half of the CPU, the same classes
    command = ["javac", *quick, "--release", "8", "-nowarn", "-Xlint:-options", "-cp", f"{jars}/*", "-d", str(into)]
    subprocess.run([*command, *sources], check=True, capture_output=True, text=True)
    return {path.relative_to(into).as_posix(): path.read_bytes() for path in sorted(into.rglob("*.class"))}


def classes_in(jar: Path) -> dict[str, bytes]:
    """What a jar holds, without its manifest."""
    with zipfile.ZipFile(jar) as file:
        return {name: file.read(name) for name in file.namelist() if name.endswith(".class")}


def build(jars: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        classes = compile_classes(jars, Path(folder))
    content = {"META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\r\n\r\n"} | classes
    with zipfile.ZipFile(JAR, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in content.items():
            file.writestr(zipfile.ZipInfo(name, EPOCH), data, zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        given = Path(sys.argv[1])
    else:
        from millpond import runtime

        found = runtime.find("5.1")
        if found is None:
            raise SystemExit("the Glue 5.1 runtime is not installed: millpond runtime install 5.1")
        given = found.site() / "pyspark" / "jars"
    build(given)
    print(JAR)
