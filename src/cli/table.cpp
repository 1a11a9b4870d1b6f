#include "cli/table.h"

#include <algorithm>

#include "cli/printable.h"

namespace thole::cli {
namespace {

constexpr std::size_t kGap = 2;
constexpr std::size_t kLastLeast = 8;  // A last column that is narrower says nothing.

std::size_t widest(const Table& table, std::size_t column) {
    std::size_t most = 0;
    for (const std::vector<std::string>& row : table.rows) {
        most = std::max(most, columns_of(row[column]));
    }
    return most;
}

}  // namespace

std::string lay_out(const Table& table, std::size_t width) {
    std::vector<std::size_t> columns;
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < table.head.size(); ++i) {
        const std::size_t most = widest(table, i);
        if (most == 0) continue;
        columns.push_back(i);
        widths.push_back(std::max(most, columns_of(table.head[i])));
    }
    std::string out;
    const auto write = [&](const std::vector<std::string>& row) {
        std::string line;
        std::size_t used = 0;
        for (std::size_t i = 0; i < columns.size(); ++i) {
            const std::string& cell = row[columns[i]];
            if (i + 1 == columns.size()) {
                const std::size_t left = width == kAnyWidth ? kAnyWidth
                                         : width > used     ? width - used
                                                            : 0;
                line += cut_to(cell, std::max(left, kLastLeast));
            } else {
                line += cell + std::string(widths[i] + kGap - columns_of(cell), ' ');
                used += widths[i] + kGap;
            }
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
    };
    write(table.head);
    for (const std::vector<std::string>& row : table.rows) write(row);
    return out;
}

}  // namespace thole::cli
