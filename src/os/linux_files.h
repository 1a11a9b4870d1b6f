// env::Files on Linux.
#pragma once

#include "env/files.h"

namespace thole::os {

class LinuxFiles final : public env::Files {
public:
    Result<std::unique_ptr<env::File>> open(const std::string& path, env::OpenMode mode) override;
    Result<std::string> read(const std::string& path, std::size_t size_max) override;
    Status replace(const std::string& path, std::string_view bytes, env::Durability durability,
                   std::uint32_t mode) override;
    Status make_folder(const std::string& path, std::uint32_t mode) override;
    Status sync_folder(const std::string& path) override;
    Status remove(const std::string& path) override;
    Result<std::vector<env::FileInfo>> list(const std::string& path) override;
    bool exists(const std::string& path) override;
};

}  // namespace thole::os
