#!/usr/bin/env python3
"""For each rule of tidy.py what it must find and what it must leave alone: a linter that finds nothing looks like a clean one."""
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import tidy  # noqa: E402

LONG = "    step();\n"
HEADER = "// What it is for.\n#pragma once\n"

# Rule, path, text, lines of the findings.
CASES = [
    ("layout", "src/http/a.cpp", "int a;\n" + "x" * 101 + "\n", [2]),
    ("layout", "src/http/a.cpp", "x" * 100 + "\n", []),
    ("layout", "src/http/a.cpp", "int a; \n\tint b;\n", [1, 2]),
    ("file_length", "src/http/a.h", "\n" * 151, [1]),
    ("file_length", "src/http/a.h", "\n" * 150, []),
    ("file_length", "src/http/a.cpp", "\n" * 501, [1]),
    ("function_length", "src/http/a.cpp", "void a() {\n" + LONG * 69 + "}\n", [1]),
    ("function_length", "src/http/a.cpp", "void a() {\n" + LONG * 68 + "}\n", []),
    ("function_length", "src/http/a.cpp", "namespace thole {\nvoid a(int b,\n  int c) const {\n" + LONG * 70 + "}\n}\n", [2]),
    ("function_length", "src/http/a.cpp", "A::A(int b) : b_{b}, c_(b) {\n" + LONG * 70 + "}\n", [1]),
    ("function_length", "src/http/a.cpp", "class A {\npublic:\n    void b() {\n" + LONG * 70 + "    }\n};\n", [3]),
    ("function_length", "src/http/a.cpp", "TEST(A, SaysB) {\n" + LONG * 70 + "}\n", [1]),
    ("function_length", "src/http/a.cpp", "void a() {\n    each([&] {\n" + LONG * 70 + "    });\n}\n", [1]),
    ("function_length", "src/http/a.cpp", "class A {\n    void b() {}\n" + "    int c;\n" * 90 + "};\n", []),
    ("function_length", "src/http/a.cpp", "const Table kTable = {\n" + "    {1, f(2)},\n" * 90 + "};\n", []),
    ("function_length", "src/http/a.cpp", 'void a() { b("{", \'{\'); }\n' + "int c;\n" * 90 + "void d() {}\n", []),
    ("header", "src/http/a.h", "#pragma once\n", [1]),
    ("header", "src/http/a.h", HEADER, []),
    ("header", "src/http/a.h", "// What it is for.\n#ifndef A\n", [1]),
    ("direction", "src/http/a.cpp", '#include "base/result.h"\n#include "http/a.h"\n', []),
    ("direction", "src/http/a.cpp", '#include "os/loop.h"\n', [1]),
    ("direction", "src/control/a.cpp", '#include "http/a.h"\n#include "edge/a.h"\n#include "os/fd.h"\n', [2, 3]),
    ("direction", "src/edge/a.cpp", '#include "control/a.h"\n', [1]),
    ("direction", "src/nowhere/a.cpp", "", [1]),
    ("direction", "src/http/a.cpp", '#include "a.h"\n', [1]),
    ("direction", "src/web/a_test.cpp", '#include "os/loop.h"\n#include "sim/a.h"\n#include "control/a.h"\n', [3]),
    ("direction", "tests/simulation/a.cpp", '#include "edge/a.h"\n', []),
    ("banned", "src/control/a.cpp", "auto a = std::chrono::steady_clock::now();\n", [1]),
    ("banned", "src/os/a.cpp", "auto a = std::chrono::steady_clock::now();\n", []),
    ("banned", "src/control/a.cpp", "// steady_clock is not for us\n", []),
    ("banned", "src/control/a.cpp", 'say("getenv(HOME)");\n', []),
    ("banned", "src/control/a.cpp", 'get(getenv("HOME"));\n', [1]),
    ("banned", "src/control/a.cpp", "#include <fstream>\n", [1]),
    ("banned", "src/control/a.cpp", "int a = ::socket(AF_INET, 0, 0);\n", [1]),
    ("banned", "src/control/a.cpp", "Status View::open(int a) {\n", []),
    ("banned", "src/control/a.cpp", "pid_t a = fork();\n", [1]),
    ("banned", "src/control/a.cpp", "std::this_thread::sleep_for(1s);\n", [1]),
    ("banned", "src/control/a_test.cpp", "std::this_thread::sleep_for(1s);\n", [1]),
    ("banned", "src/os/a.cpp", "int a = rand();\nstd::mt19937 b;\n", [1, 2]),
    ("banned", "src/http/a.cpp", "Random random(1);\n", []),
    ("banned", "src/os/a.cpp", "std::uniform_int_distribution<int> a(1, 2);\n", [1]),
    ("banned", "src/os/a.cpp", "throw 1;\n", [1]),
    ("banned", "src/os/a.cpp", "int a = atoi(text);\n", [1]),
    ("banned", "src/os/a.cpp", "assert(a);\nstatic_assert(b);\n", [1]),
    ("banned", "src/os/a.h", "#include <fmt/format.h>\n#include <iostream>\n#include <regex>\n", [1, 2, 3]),
    ("banned", "src/os/a.cpp", "#include <fmt/format.h>\n", []),
    ("banned", "src/os/a_test.cpp", "#include <gmock/gmock.h>\n", [1, 1]),
    ("threads", "src/control/a.cpp", "std::thread a;\n", [1]),
    ("threads", "src/edge/a.cpp", "std::thread a;\n", []),
    ("locks", "src/edge/a.cpp", "std::mutex a;\n", [1]),
    ("locks", "src/os/a.cpp", "std::mutex a;\n", []),
    ("replay", "src/control/a.cpp", "std::unordered_map<int, A> a_;\nfor (const auto& [b, c] : a_) {\n", [2]),
    ("replay", "src/control/a.cpp", "std::unordered_map<int, A> a_;\nfor (const auto& b : c_) {\n", []),
    ("replay", "src/edge/a.cpp", "std::unordered_map<int, A> a_;\nfor (const auto& [b, c] : a_) {\n", []),
    ("replay", "src/deploy/a.cpp", "std::map<const Instance*, int> a;\n", [1]),
    ("try", "src/http/a.cpp", "Result<int> a() {\n    const int b = TRY(c());\n    TRY(d());\n    return TRY(e());\n}\n", []),
    ("try", "src/http/a.cpp", "A a() {\n    return A{b(), TRY(c())};\n}\n", [2]),
    ("try", "src/http/a.cpp", "A a() {\n    return {.b = 1, .c = TRY(d())};\n}\n", [2]),
    ("try", "src/http/a.cpp", "void a() {\n    b({1,\n       f(TRY(c()))});\n}\n", [3]),
    ("try", "src/http/a.cpp", "void a() {\n    const int b = c ? TRY(d()) : 0;\n}\n", [2]),
    ("try", "src/http/a.cpp", "void a() {\n    if (b) {\n        const int c = TRY(d());\n    }\n}\n", []),
    ("try", "src/http/a.cpp", "void a() {\n    b({[&] {\n        TRY(c());\n    }});\n}\n", []),
    ("bool", "src/http/a.h", "void a(int b, bool c);\n", [1]),
    ("bool", "src/http/a.h", "void a(int b,\n       bool c = true) const {\n", [1]),
    ("bool", "src/http/a.h", "Json(bool value) : a_(value) {}\nstd::optional<bool> b(int c);\n", []),
    ("bool", "src/http/a.cpp", "void a(bool c);\n", []),
    ("parameters", "src/http/a.h", "void a(int b, std::map<int, int> c, int d, int e, int f);\n", [1]),
    ("parameters", "src/http/a.h", "void a(int b, std::map<int, int> c, int d, int e);\n", []),
    ("todo", "src/http/a.cpp", "// TODO: later\n// TODO(#12): later\n", [1]),
    ("words", "src/http/a.cpp", "int replicas = 1;\nclass Backend;\n// Starts an instance.\n", [1, 2]),
    ("file_name", "src/http/parse_utils.cpp", "", [1]),
    ("file_name", "src/common/a.cpp", "", [1]),
    ("file_name", "src/http/Head.cpp", "", [1]),
    ("file_name", "src/http/README.md", "", []),
    ("sleep", "tests/integration/test_a.py", "a()\ntime.sleep(1)\n", [2]),
    ("sleep", "tests/integration/test_a.py", "wait_until(ready, 5)\n", []),
    ("sleep", "tests/integration/kit.py", "time.sleep(POLL_S)\n", []),
    ("sleep", "tests/integration/kit.py", "time.sleep(1)\n", [1]),
    ("machine_paths", "docs/a.md", "see /home/ann/thole\nor $ROOT/home/x and a/home/b\n", [1]),
]


class Rules(unittest.TestCase):
    def test_each_rule_finds_what_it_must_and_no_more(self):
        for rule, path, text, lines in CASES:
            with self.subTest(rule=rule, text=text[:80]):
                found = [line for line, _ in tidy.RULES[rule](Path(path), text)]
                self.assertEqual(found, lines)

    def test_each_rule_has_a_case_that_it_finds(self):
        self.assertEqual({rule for rule, _, _, lines in CASES if lines}, set(tidy.RULES))

    def test_the_table_of_folders_has_no_circle(self):
        for folder, below in tidy.STANDS_ON.items():
            for other in below:
                self.assertNotIn(folder, tidy.reachable(other))

    def test_control_edge_and_keeper_never_include_each_other(self):
        self.assertFalse(tidy.reachable("control") & {"edge", "keeper", "os", "sim", "app"})
        self.assertFalse(tidy.reachable("edge") & {"control", "keeper", "web"})
        self.assertFalse(tidy.reachable("keeper") & {"control", "edge", "web", "http"})

    def test_lines_keep_their_numbers_without_comments(self):
        text = 'a /* b\n c */ d "e\\"//f" // g\nR"x(1\n2)x" h\n'
        self.assertEqual(tidy.code_of(text).count("\n"), text.count("\n"))
        self.assertNotRegex(tidy.code_of(text), "[bcefg12]")


if __name__ == "__main__":
    unittest.main()
