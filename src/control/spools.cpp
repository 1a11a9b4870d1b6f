#include "control/spools.h"

#include <algorithm>
#include <map>

#include "base/parse.h"
#include "wire/slots.h"

namespace thole::control {

SpoolName read_spool_name(std::string_view name) {
    const std::string_view place = name.substr(0, name.rfind('.'));
    const std::size_t dash = place.rfind('-');
    if (dash == std::string_view::npos) return {};
    const std::int64_t slot = parse_integer(place.substr(dash + 1), 1, wire::kSlotsMax).value_or(0);
    return {place.substr(0, dash), static_cast<std::uint32_t>(slot)};
}

std::vector<std::string> spools_to_remove(std::vector<env::FileInfo> files,
                                          const std::set<std::uint32_t>& free) {
    std::erase_if(files, [&](const env::FileInfo& file) {
        return file.is_folder || !free.contains(read_spool_name(file.name).slot);
    });
    std::stable_sort(files.begin(), files.end(),
                     [](const env::FileInfo& left, const env::FileInfo& right) {
                         return left.modified < right.modified;
                     });
    std::map<std::string_view, std::uint64_t> sums;
    for (const env::FileInfo& file : files)
        sums[read_spool_name(file.name).service] += file.allocated_bytes;
    std::vector<std::string> removed;
    for (const env::FileInfo& file : files) {
        std::uint64_t& sum = sums[read_spool_name(file.name).service];
        if (sum <= kEndedSpoolBytesMax) continue;
        sum -= file.allocated_bytes;
        removed.push_back(file.name);
    }
    return removed;
}

}  // namespace thole::control
