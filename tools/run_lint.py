#!/usr/bin/env python3
"""All that a script can tell about code, tests and docs; `./dev lint` starts it, the last line counts."""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.exit(subprocess.run([sys.executable, str(ROOT / "tools" / "tidy.py")], cwd=ROOT, check=False).returncode)
