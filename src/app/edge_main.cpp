// The program lib/thole/edge.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "edge/edge.h"

int main(int count, char** arguments) {
    thole::edge::EdgeOptions options;
    for (int i = 1; i + 1 < count; i += 2) {
        const std::string_view name = arguments[i];
        if (name == "--run") options.run_folder = arguments[i + 1];
        if (name == "--data") options.data_folder = arguments[i + 1];
        if (name == "--beside") options.is_beside = true;
        if (name == "--memory") options.memory_max = std::strtoull(arguments[i + 1], nullptr, 10);
    }
    if (options.run_folder.empty() || options.data_folder.empty()) {
        std::fprintf(stderr, "edge: --run and --data are needed; keeper starts it\n");
        return 2;
    }
    const thole::Status ended = thole::edge::run_edge(options);
    std::fprintf(stderr, "edge: %s\n", ended.error().text().c_str());
    return 1;
}
