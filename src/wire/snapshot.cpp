#include "wire/snapshot.h"

#include <algorithm>

#include "base/bytes.h"

namespace thole::wire {
namespace {

constexpr std::uint32_t kMagic = 0x70616e73;
constexpr std::uint32_t kFormat = 3;
constexpr std::uint32_t kServicesMax = 65536;

void write_limits(ByteWriter& writer, const SnapshotLimits& limits) {
    for (const Duration limit :
         {limits.connect, limits.response_head, limits.idle, limits.tunnel, limits.hold}) {
        writer.i64(limit.count());
    }
    writer.u32(limits.held_requests_max);
    writer.u32(limits.held_bytes_max);
    writer.i64(limits.write_stall.count());
    writer.i64(limits.body_grace.count());
    writer.u64(limits.body_bytes_max);
    writer.u32(limits.body_bytes_per_second);
}

SnapshotLimits read_limits(ByteReader& reader) {
    SnapshotLimits limits;
    limits.connect = Duration(reader.i64());
    limits.response_head = Duration(reader.i64());
    limits.idle = Duration(reader.i64());
    limits.tunnel = Duration(reader.i64());
    limits.hold = Duration(reader.i64());
    limits.held_requests_max = reader.u32();
    limits.held_bytes_max = reader.u32();
    limits.write_stall = Duration(reader.i64());
    limits.body_grace = Duration(reader.i64());
    limits.body_bytes_max = reader.u64();
    limits.body_bytes_per_second = reader.u32();
    return limits;
}

bool has_service(const Snapshot& snapshot, std::uint32_t id) {
    return std::any_of(snapshot.services.begin(), snapshot.services.end(),
                       [id](const SnapshotService& service) { return service.id == id; });
}

Status check(const Snapshot& snapshot) {
    for (std::size_t i = 0; i < snapshot.services.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            if (snapshot.services[i].id == snapshot.services[j].id)
                return corrupt("snapshot: two services of one id");
        }
    }
    for (std::size_t i = 0; i < snapshot.listeners.size(); ++i) {
        const SnapshotListener& listener = snapshot.listeners[i];
        const bool known_kind =
            listener.kind == ListenerKind::Public || listener.kind == ListenerKind::Call;
        if (!known_kind || !has_service(snapshot, listener.service)) {
            return corrupt("snapshot: a listener without a service");
        }
        if (listener.kind == ListenerKind::Call && !has_service(snapshot, listener.caller)) {
            return corrupt("snapshot: a call without a caller");
        }
        for (std::size_t j = 0; j < i; ++j) {
            if (listener.id == snapshot.listeners[j].id)
                return corrupt("snapshot: two listeners of one id");
        }
    }
    return success();
}

}  // namespace

std::string write_snapshot(const Snapshot& snapshot) {
    ByteWriter writer;
    writer.u32(kMagic);
    writer.u32(kFormat);
    writer.u64(snapshot.version);
    writer.u32(static_cast<std::uint32_t>(snapshot.services.size()));
    for (const SnapshotService& service : snapshot.services) {
        writer.u32(service.id);
        writer.text(service.name);
        write_limits(writer, service.limits);
    }
    writer.u32(static_cast<std::uint32_t>(snapshot.listeners.size()));
    for (const SnapshotListener& listener : snapshot.listeners) {
        writer.u32(listener.id);
        writer.u32(static_cast<std::uint32_t>(listener.kind));
        writer.u32(listener.service);
        writer.u32(listener.caller);
        writer.u32(listener.caller_uid);
        writer.u32(listener.caller_uid_too);
        writer.u32(listener.check_caller);
    }
    writer.u32(crc32c(writer.bytes()));
    return writer.take();
}

Result<Snapshot> read_snapshot(std::string_view bytes) {
    if (bytes.size() < 4) return corrupt("snapshot: too short");
    const std::string_view content = bytes.substr(0, bytes.size() - 4);
    ByteReader last(bytes.substr(content.size()));
    if (last.u32() != crc32c(content)) return corrupt("snapshot: wrong checksum");
    ByteReader reader(content);
    Snapshot snapshot;
    if (reader.u32() != kMagic) return corrupt("snapshot: not a snapshot");
    if (const std::uint32_t format = reader.u32(); format != kFormat)
        return corrupt("snapshot: of another format");
    snapshot.version = reader.u64();
    const std::uint32_t services = reader.u32();
    if (services > kServicesMax) return corrupt("snapshot: too many services");
    for (std::uint32_t i = 0; i < services && reader.ok(); ++i) {
        SnapshotService service;
        service.id = reader.u32();
        service.name = std::string(reader.text());
        service.limits = read_limits(reader);
        snapshot.services.push_back(std::move(service));
    }
    const std::uint32_t listeners = reader.u32();
    if (listeners > kServicesMax) return corrupt("snapshot: too many listeners");
    for (std::uint32_t i = 0; i < listeners && reader.ok(); ++i) {
        SnapshotListener listener;
        listener.id = reader.u32();
        listener.kind = static_cast<ListenerKind>(reader.u32());
        listener.service = reader.u32();
        listener.caller = reader.u32();
        listener.caller_uid = reader.u32();
        listener.caller_uid_too = reader.u32();
        listener.check_caller = reader.u32();
        snapshot.listeners.push_back(listener);
    }
    if (!reader.at_end()) return corrupt("snapshot: cut short or too long");
    TRY(check(snapshot));
    return snapshot;
}

}  // namespace thole::wire
