// env::Files of one process, on the shared disk. After its death nothing it does takes effect.
#pragma once

#include "env/files.h"
#include "sim/disk.h"

namespace thole::sim {

class SimFiles final : public env::Files {
public:
    SimFiles(SimDisk& disk, LifePointer life) : disk_(disk), life_(std::move(life)) {}

    Result<std::unique_ptr<env::File>> open(const std::string& path, env::OpenMode mode) override;
    Result<std::string> read(const std::string& path, std::size_t size_max) override;
    Status replace(const std::string& path, std::string_view bytes, env::Durability durability,
                   std::uint32_t mode) override;
    Status make_folder(const std::string& path, std::uint32_t mode) override;
    Status sync_folder(const std::string& path) override;
    Status remove(const std::string& path) override;
    Result<std::vector<env::FileInfo>> list(const std::string& path) override;
    bool exists(const std::string& path) override;

private:
    Result<NodePointer> create(const std::string& path);

    SimDisk& disk_;
    LifePointer life_;
};

}  // namespace thole::sim
