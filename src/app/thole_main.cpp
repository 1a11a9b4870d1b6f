// The program `thole`: the command line, and the role control, which keeper starts from it.
#include <signal.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "app/control_main.h"
#include "app/outside_linux.h"
#include "cli/run.h"

namespace {

int run_as_control(const std::vector<std::string>& words) {
    std::string run;
    std::string data;
    for (std::size_t i = 1; i + 1 < words.size(); i += 2) {
        if (words[i] == "--run") run = words[i + 1];
        if (words[i] == "--data") data = words[i + 1];
    }
    if (run.empty() || data.empty()) {
        std::fprintf(stderr, "control: --run and --data are needed; keeper starts it\n");
        return 2;
    }
    return thole::app::run_control(run, data);
}

}  // namespace

int main(int count, char** arguments) {
    // Whoever started us may have ignored it (that outlives exec): then no child can be waited for.
    ::signal(SIGCHLD, SIG_DFL);
    const std::vector<std::string> words(arguments + (count > 0 ? 1 : 0), arguments + count);
    if (!words.empty() && words[0] == "control") return run_as_control(words);
    thole::app::OutsideLinux outside;
    return thole::cli::run(outside, words);
}
