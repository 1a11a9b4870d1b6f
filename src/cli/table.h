// Rows of text in aligned columns.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace thole::cli {

struct Table {
    std::vector<std::string> head;
    std::vector<std::vector<std::string>> rows;  // Each as long as the head.
};

constexpr std::size_t kAnyWidth = ~std::size_t{0};

// Lines with a line end each. A column in which no row says anything is left out; the last one is
// cut where the line would be wider than `width`.
std::string lay_out(const Table& table, std::size_t width);

}  // namespace thole::cli
