#!/usr/bin/env python3
"""What tools/defaults.py reads in a constant and its comment."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import defaults  # noqa: E402

CODE = """// About the file.

// A first line
// and a second. Source: RFC 1, section 2.
constexpr Duration kFirst =
    1min;
    static constexpr std::int64_t kSecondNs = 1'500'000'000;  // Behind it.
constexpr std::uint64_t kBytesMax = 1ULL << 30U;
constexpr Duration kLongAgo = std::chrono::seconds(3);  // Long.
"""


class Defaults(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "limits.h"
        self.path.write_text(CODE)

    def test_a_constant_has_its_comment_above_or_behind_and_a_source(self):
        self.assertEqual(list(defaults.rows_of(self.path, defaults.ALL)), [
            ("kFirst", "1 min", "A first line and a second.", "RFC 1, section 2"),
            ("kSecondNs", "1500 ms", "Behind it.", ""),
            ("kBytesMax", "1 GiB", "", ""),
            ("kLongAgo", "3 s", "Long.", ""),
        ])

    def test_one_without_a_reason_or_that_is_gone_is_a_finding(self):
        defaults.SHOWN, before = [("X", self.path, "kBytesMax|kGone")], defaults.SHOWN
        self.addCleanup(setattr, defaults, "SHOWN", before)
        said = "\n".join(defaults.make()[1])
        self.assertIn("kBytesMax has no reason", said)
        self.assertIn("does not find kGone", said)

    def test_a_page_that_differs_is_stale(self):
        page = self.path.with_name("page.md")
        defaults.PAGE, before = page, defaults.PAGE
        self.addCleanup(setattr, defaults, "PAGE", before)
        page.write_text(defaults.make()[0])
        self.assertEqual(defaults.check(), [])
        page.write_text("1 h")
        self.assertIn("differs from the code", defaults.check()[0])


if __name__ == "__main__":
    unittest.main()
