// env::Trees on Linux.
#pragma once

#include "env/trees.h"

namespace thole::os {

class LinuxTrees final : public env::Trees {
public:
    Result<std::string> digest(const std::string& folder, const std::vector<std::string>& files,
                               std::string_view extra) override;
    Status copy(const env::CopyRequest& request) override;
    Status make_owned(const std::string& path, env::Owner owner, std::uint32_t mode) override;
    Status hand_over(const std::string& path, env::Owner owner, std::uint32_t mode) override;
    Status remove(const std::string& path) override;
    Status sync(const std::string& path) override;
    Result<std::uint64_t> bytes_of(const std::string& path) override;
};

}  // namespace thole::os
