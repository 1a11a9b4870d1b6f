#include "os/linux_trees.h"

namespace thole::os {

Result<std::string> LinuxTrees::digest(const std::string& folder, const std::vector<std::string>&,
                                       std::string_view) {
    return unavailable("read " + folder);
}
Status LinuxTrees::copy(const env::CopyRequest& request) { return unavailable(request.from); }
Status LinuxTrees::make_owned(const std::string& path, env::Owner, std::uint32_t) {
    return unavailable(path);
}
Status LinuxTrees::remove(const std::string& path) { return unavailable(path); }
Result<std::uint64_t> LinuxTrees::bytes_of(const std::string& path) { return unavailable(path); }

}  // namespace thole::os
