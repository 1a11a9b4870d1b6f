// Reads `thole.yaml`: text in, a checked manifest or everything that is wrong with it out. Pure; it
// opens no file and guesses nothing. docs/reference/manifest.md lists the keys.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/manifest.h"

namespace thole::manifest {

constexpr std::size_t kTextBytesMax = 256 * 1024;  // A thousand services fit; a bomb does not.
constexpr int kDepthMax = 64;                      // Nested maps and lists; ours need six.
constexpr std::size_t kFindingsMax = 100;          // Nobody reads more at once.

struct Finding {
    int line = 1;  // Both count from 1; columns are characters.
    int column = 1;
    std::string message;
    std::string hint;  // Empty, or what helps.
    bool operator==(const Finding&) const = default;
};

struct Reading {
    std::optional<model::Manifest> manifest;  // Only where nothing was found.
    std::vector<Finding> findings;            // In the order of the text.
};

Reading read_manifest(std::string_view text);

// One line for each: "thole.yaml:7:5: unknown key 'scael'". The hint of the first is the error's;
// those of the others stand at the end of their lines.
Error error_of(const std::vector<Finding>& findings, std::string_view file);

}  // namespace thole::manifest
