// Any bytes as a snapshot; the checksum is put right, or no byte would be looked at behind it. What
// must hold: what is read is written again as the same bytes, but for those of an older format, and
// everything in it refers to what is there.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "wire/snapshot.h"

namespace {

using namespace thole;

void check(const wire::Snapshot& snapshot) {
    std::set<std::uint32_t> services;
    std::set<std::uint32_t> listeners;
    for (const wire::SnapshotService& service : snapshot.services) {
        CHECK(services.insert(service.id).second);
    }
    for (const wire::SnapshotListener& listener : snapshot.listeners) {
        CHECK(listeners.insert(listener.id).second);
        CHECK(services.contains(listener.service));
        if (listener.kind == wire::ListenerKind::Call) CHECK(services.contains(listener.caller));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    static_cast<void>(wire::read_snapshot(bytes));
    ByteWriter checksum;
    checksum.u32(crc32c(bytes));
    const std::string sealed = std::string(bytes) + checksum.bytes();
    const Result<wire::Snapshot> snapshot = wire::read_snapshot(sealed);
    if (!snapshot.ok()) return 0;
    check(snapshot.value());
    // A format before is written as the one of today; that one comes out as it went in.
    const std::string written = wire::write_snapshot(snapshot.value());
    const Result<wire::Snapshot> again = wire::read_snapshot(written);
    CHECK(again.ok() && wire::write_snapshot(again.value()) == written);
    CHECK(written == sealed || sealed.substr(4, 4) != written.substr(4, 4));
    return 0;
}
