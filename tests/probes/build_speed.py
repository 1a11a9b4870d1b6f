#!/usr/bin/env python3
"""How long the gate's two builds take for a code base of a given size, from an empty and from a warm ccache.

Writes typical C++ (variants, maps, callbacks, text, Results; tests with gtest) to a temporary folder, beside a copy of
our own CMake file, presets and src/base, and builds it there with a compiler cache of its own. Prints processor seconds
(user + system of all children), which say the same on a busy machine, and what they are in minutes on two processors.

    tests/probes/build_speed.py [--lines 30000] [--files 90] [--jobs 2] [--keep]
"""
import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MODULES = 9

HEAD = """// Table {n} of module {m}: what runs where, for measuring the build. Owns its states; one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace thole::m{m} {{
"""

HEAD_BLOCK = """
struct Waiting{n} {{
    std::string reason;
    std::int64_t since = 0;
}};
struct Running{n} {{
    std::vector<std::int64_t> pids;
    std::map<std::string, std::int64_t> ports;
}};
struct Ended{n} {{
    std::int64_t status = 0;
    std::optional<std::string> said;
}};
using State{n} = std::variant<Waiting{n}, Running{n}, Ended{n}>;

class Table{n} {{
public:
    using Visit = std::function<void(const std::string&, const State{n}&)>;
    void set(std::string name, State{n} state);
    void on_change(Visit visit) {{ visit_ = std::move(visit); }}
    Result<std::int64_t> port_of(const std::string& name, std::string_view protocol) const;
    Result<std::size_t> end(const std::string& name, std::int64_t status);
    std::vector<std::string> waiting_since(std::int64_t time) const;
    std::string text() const;

private:
    std::map<std::string, State{n}> states_;
    Visit visit_;
}};
"""

SOURCE = """#include "m{m}/part_{n}.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

namespace thole::m{m} {{
"""

SOURCE_BLOCK = """
void Table{n}::set(std::string name, State{n} state) {{
    const auto [at, is_new] = states_.insert_or_assign(std::move(name), std::move(state));
    if (visit_ && (is_new || at->second.index() != 0)) visit_(at->first, at->second);
}}

Result<std::int64_t> Table{n}::port_of(const std::string& name, std::string_view protocol) const {{
    const auto found = states_.find(name);
    if (found == states_.end()) return not_found(fmt::format("services.{{}}: no such instance", name));
    const auto* running = std::get_if<Running{n}>(&found->second);
    if (running == nullptr) return unavailable(fmt::format("services.{{}}: is not running", name));
    for (const auto& [key, port] : running->ports) {{
        if (key == protocol && port > {k}) return port;
    }}
    return not_found(fmt::format("services.{{}}: no port for {{}}", name, protocol));
}}

Result<std::size_t> Table{n}::end(const std::string& name, std::int64_t status) {{
    const std::int64_t port = TRY(port_of(name, "http{k}"));
    if (status < 0) return invalid(fmt::format("services.{{}}: status {{}}", name, status));
    set(name, Ended{n}{{status, fmt::format("port {{}} is free", port)}});
    return static_cast<std::size_t>(std::count_if(states_.begin(), states_.end(), [](const auto& state) {{
        return std::holds_alternative<Ended{n}>(state.second);
    }}));
}}

std::vector<std::string> Table{n}::waiting_since(std::int64_t time) const {{
    std::vector<std::string> names;
    for (const auto& [name, state] : states_) {{
        const auto* waiting = std::get_if<Waiting{n}>(&state);
        if (waiting != nullptr && waiting->since + {k} <= time) names.push_back(name);
    }}
    std::sort(names.begin(), names.end(), [](const std::string& left, const std::string& right) {{
        return left.size() != right.size() ? left.size() < right.size() : left < right;
    }});
    return names;
}}

namespace {{
struct Words{n} {{
    std::string operator()(const Waiting{n}& at) const {{
        return fmt::format("waiting since {{}}: {{}}", at.since, at.reason);
    }}
    std::string operator()(const Running{n}& at) const {{
        std::string all = fmt::format("running as {{}}", fmt::join(at.pids, ", "));
        for (const auto& [name, port] : at.ports) all += fmt::format(" {{}}:{{}}", name, port);
        return all;
    }}
    std::string operator()(const Ended{n}& at) const {{
        return fmt::format("ended with {{}}, {{}}", at.status, at.said.value_or("silent"));
    }}
}};
}}  // namespace

std::string Table{n}::text() const {{
    std::unordered_map<std::size_t, std::size_t> kinds;
    std::string all;
    for (const auto& [name, state] : states_) {{
        ++kinds[state.index()];
        all += fmt::format("{{:<20}} {{}}\\n", name, std::visit(Words{n}{{}}, state));
    }}
    all += fmt::format("{{}} wait, {{}} run, {{}} ended\\n", kinds[0], kinds[1], kinds[2]);
    return all;
}}
"""

TEST = """#include "m{m}/part_{n}.h"

#include <gtest/gtest.h>

namespace thole::m{m} {{
namespace {{
"""

TEST_BLOCK = """
Table{n} table_{n}() {{
    Table{n} table;
    table.set("web", Running{n}{{{{1, 2}}, {{{{"http{k}", 20000 + {k}}}, {{"admin", 30000}}}}}});
    table.set("orders", Waiting{n}{{"no answer", {k}}});
    table.set("billing", Ended{n}{{1, std::nullopt}});
    return table;
}}

TEST(Table{n}, FindsThePortOfARunningInstance) {{
    const Table{n} table = table_{n}();
    ASSERT_TRUE(table.port_of("web", "http{k}").ok());
    EXPECT_EQ(table.port_of("web", "http{k}").value(), 20000 + {k});
    EXPECT_EQ(table.port_of("orders", "http").error().code, Code::Unavailable);
    EXPECT_EQ(table.port_of("nobody", "http").error().message, "services.nobody: no such instance");
}}

TEST(Table{n}, EndsAnInstanceOnce) {{
    Table{n} table = table_{n}();
    std::vector<std::string> changed;
    table.on_change([&](const std::string& name, const State{n}&) {{ changed.push_back(name); }});
    EXPECT_EQ(table.end("web", 0).value(), 2U);
    EXPECT_FALSE(table.end("web", 0).ok());
    EXPECT_EQ(changed, (std::vector<std::string>{{"web"}}));
}}

TEST(Table{n}, ListsWhoWaitsTooLongAndSaysSo) {{
    const Table{n} table = table_{n}();
    EXPECT_TRUE(table.waiting_since({k}).empty());
    EXPECT_EQ(table.waiting_since({k} + {k}), (std::vector<std::string>{{"orders"}}));
    EXPECT_NE(table.text().find("1 wait, 1 run, 1 ended"), std::string::npos);
}}
"""


def write_files(folder, files, lines):
    """Writes files until so many lines are there; gives the number of lines."""
    shutil.copytree(ROOT / "src" / "base", folder / "src" / "base")
    for name in ("CMakeLists.txt", "CMakePresets.json"):
        shutil.copy(ROOT / name, folder / name)
    block_lines = sum(text.count("\n") for text in (HEAD_BLOCK, SOURCE_BLOCK, TEST_BLOCK))
    frame_lines = sum(text.count("\n") for text in (HEAD, SOURCE, TEST)) + 5
    wanted = (lines / files - frame_lines) / block_lines  # A file; cumulative rounding makes the sum right.
    blocks = [round(wanted * (number + 1)) - round(wanted * number) for number in range(files)]
    written = 0
    for number in range(files):
        module = number % MODULES
        place = folder / "src" / f"m{module}"
        place.mkdir(parents=True, exist_ok=True)
        for suffix, frame, block, end in ((".h", HEAD, HEAD_BLOCK, ""), (".cpp", SOURCE, SOURCE_BLOCK, ""),
                                          ("_test.cpp", TEST, TEST_BLOCK, "}  // namespace\n")):
            text = frame.format(m=module, n=number)
            for part in range(blocks[number]):
                text += block.format(m=module, n=f"{number}_{part}", k=100 + part + number * 10)
            text += f"\n{end}}}  // namespace thole::m{module}\n"
            written += text.count("\n")
            (place / f"part_{number}{suffix}").write_text(text)
    (folder / "cmake").mkdir()
    (folder / "cmake" / "modules.cmake").write_text(
        "thole_module(base LINK PkgConfig::FMT PkgConfig::SIMDJSON)\n" +
        "".join(f"thole_module(m{module} LINK thole_base)\n" for module in range(MODULES)))
    return written


def measure(folder, cache, preset, jobs):
    """(processor seconds, seconds on the clock, objects) of one build from an empty build folder."""
    shutil.rmtree(folder / "build", ignore_errors=True)
    environment = dict(os.environ, CCACHE_DIR=str(cache))
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    for command in (["cmake", "--preset", preset], ["ninja", "-C", f"build/{preset}", f"-j{jobs}"]):
        done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(done.stdout[-4000:] + done.stderr[-4000:])
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    objects = len(list((folder / "build" / preset).glob("**/*.o")))
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, took, objects


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=30000)
    parser.add_argument("--files", type=int, default=90)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--presets", default="ci,release")
    parser.add_argument("--keep", action="store_true", help="leave the folder for a look")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="build-speed-"))
    try:
        written = write_files(folder / "tree", options.files, options.lines)
        print(f"{written} lines, {options.files} sources, headers and tests, in {folder}; "
              f"load before: {os.getloadavg()[0]:.1f}", flush=True)
        for warmth in ("empty", "warm"):
            total = 0.0
            for preset in options.presets.split(","):
                cpu, took, objects = measure(folder / "tree", folder / "cache", preset, options.jobs)
                total += cpu
                print(f"{warmth:<6} {preset:<8} {objects:>4} objects  {cpu:>7.1f} processor s  "
                      f"{took:>6.1f} s with -j{options.jobs}  {1000 * cpu / written:.1f} ms a line", flush=True)
            print(f"{warmth:<6} all      {total / 2 / 60:.1f} minutes on two processors", flush=True)
    finally:
        if not options.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
