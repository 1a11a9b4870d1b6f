// What is wrong with a manifest, collected while reading goes on, so that all of it is said at
// once.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "manifest/read.h"

namespace thole::manifest {

struct Place {
    int line = 1;
    int column = 1;
};

class Findings {
public:
    void add(Place place, std::string message, std::string hint = "");
    // A key or value that is documented and comes later: it is never silently without effect.
    void add_not_yet(Place place, std::string_view what);
    bool is_full() const { return findings_.size() >= kFindingsMax; }
    // In the order of the text; where there were too many, the last one counts the rest.
    std::vector<Finding> take();

private:
    std::vector<Finding> findings_;
    std::size_t left_out_ = 0;
};

// For messages: cut, without control bytes, in quotes.
std::string shown(std::string_view text);

// "did you mean 'scale'", or all names where none is near (nothing where they are too many).
std::string hint_of_nearest(std::string_view text, std::span<const std::string_view> names);

}  // namespace thole::manifest
