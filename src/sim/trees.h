// env::Trees over the files of one process. Owners, modes and whether a file is executable are not
// modelled, and there are no links; a digest is a stable hash, not SHA-256.
#pragma once

#include "env/files.h"
#include "env/trees.h"

namespace thole::sim {

class SimTrees final : public env::Trees {
public:
    explicit SimTrees(env::Files& files) : files_(files) {}

    Result<std::string> digest(const std::string& folder, const std::vector<std::string>& files,
                               std::string_view extra) override;
    Status copy(const env::CopyRequest& request) override;
    Status make_owned(const std::string& path, env::Owner owner, std::uint32_t mode) override;
    Status hand_over(const std::string& path, env::Owner owner, std::uint32_t mode) override;
    Status remove(const std::string& path) override;
    Status sync(const std::string& path) override;
    Result<std::uint64_t> bytes_of(const std::string& path) override;

private:
    Status copy_file(const std::string& from, const std::string& to);
    Result<bool> is_folder(const std::string& path);

    env::Files& files_;
};

}  // namespace thole::sim
