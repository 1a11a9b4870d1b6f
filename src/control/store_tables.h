// How each kind of row lies in its table: the columns in the order of its members.
#pragma once

#include <tuple>

#include "control/store.h"

namespace thole::control {

template <typename Row>
struct TableOf;

template <>
struct TableOf<model::ManifestRow> {
    using Row = model::ManifestRow;
    static constexpr const char* kName = "manifests";
    static constexpr const char* kKey = "revision";
    static constexpr const char* kColumns = "revision, folder, text, applied";
    static constexpr std::tuple kMembers{&Row::revision, &Row::folder, &Row::text, &Row::applied};
};
template <>
struct TableOf<model::ServiceRow> {
    using Row = model::ServiceRow;
    static constexpr const char* kName = "services";
    static constexpr const char* kKey = "id";
    static constexpr const char* kColumns =
        "id, name, uid, serving, wanted, scale, restart, is_removed";
    static constexpr std::tuple kMembers{&Row::id,      &Row::name,      &Row::uid,
                                         &Row::serving, &Row::wanted,    &Row::scale,
                                         &Row::restart, &Row::is_removed};
};
template <>
struct TableOf<model::ReleaseRow> {
    using Row = model::ReleaseRow;
    static constexpr const char* kName = "releases";
    static constexpr const char* kKey = "service, number";
    static constexpr const char* kColumns =
        "service, number, digest, revision, status, reason, made";
    static constexpr std::tuple kMembers{&Row::service, &Row::number, &Row::digest, &Row::revision,
                                         &Row::status,  &Row::reason, &Row::made};
};
template <>
struct TableOf<model::SlotRow> {
    using Row = model::SlotRow;
    static constexpr const char* kName = "slots";
    static constexpr const char* kKey = "slot";
    static constexpr const char* kColumns = "slot, service, generation, is_build";
    static constexpr std::tuple kMembers{&Row::slot, &Row::service, &Row::generation,
                                         &Row::is_build};
};
template <>
struct TableOf<model::IntentRow> {
    using Row = model::IntentRow;
    static constexpr const char* kName = "intents";
    static constexpr const char* kKey = "slot, generation";
    static constexpr const char* kColumns = "slot, generation, reason";
    static constexpr std::tuple kMembers{&Row::slot, &Row::generation, &Row::reason};
};
template <>
struct TableOf<model::ListenerRow> {
    using Row = model::ListenerRow;
    static constexpr const char* kName = "listeners";
    static constexpr const char* kKey = "id";
    static constexpr const char* kColumns = "id, service, caller, address, port";
    static constexpr std::tuple kMembers{&Row::id, &Row::service, &Row::caller, &Row::address,
                                         &Row::port};
};
template <>
struct TableOf<model::TimelineRow> {
    using Row = model::TimelineRow;
    static constexpr const char* kName = "timeline";
    static constexpr const char* kKey = "sequence";
    static constexpr const char* kColumns = "sequence, time, kind, service, instance, text";
    static constexpr std::tuple kMembers{&Row::sequence, &Row::time,     &Row::kind,
                                         &Row::service,  &Row::instance, &Row::text};
};
template <>
struct TableOf<model::NumberRow> {
    using Row = model::NumberRow;
    static constexpr const char* kName = "numbers";
    static constexpr const char* kKey = "name";
    static constexpr const char* kColumns = "name, value";
    static constexpr std::tuple kMembers{&Row::name, &Row::value};
};
template <>
struct TableOf<model::PauseRow> {
    using Row = model::PauseRow;
    static constexpr const char* kName = "pauses";
    static constexpr const char* kKey = "service";
    static constexpr const char* kColumns = "service, is_on, since, limit_ns, author";
    static constexpr std::tuple kMembers{&Row::service, &Row::is_on, &Row::since, &Row::limit_ns,
                                         &Row::author};
};
template <>
struct TableOf<model::SharesRow> {
    using Row = model::SharesRow;
    static constexpr const char* kName = "shares";
    static constexpr const char* kKey = "service";
    static constexpr const char* kColumns = "service, salt_low, salt_high, parts";
    static constexpr std::tuple kMembers{&Row::service, &Row::salt_low, &Row::salt_high,
                                         &Row::parts};
};
template <>
struct TableOf<RemoveIntent> {
    static constexpr const char* kWrite = "DELETE FROM intents WHERE slot = ? AND generation = ?";
    static constexpr std::tuple kMembers{&RemoveIntent::slot, &RemoveIntent::generation};
};
template <>
struct TableOf<RemoveListener> {
    static constexpr const char* kWrite = "DELETE FROM listeners WHERE id = ?";
    static constexpr std::tuple kMembers{&RemoveListener::id};
};
template <>
struct TableOf<RemoveManifest> {
    static constexpr const char* kWrite = "DELETE FROM manifests WHERE revision = ?";
    static constexpr std::tuple kMembers{&RemoveManifest::revision};
};
template <>
struct TableOf<RemovePause> {
    static constexpr const char* kWrite = "DELETE FROM pauses WHERE service = ?";
    static constexpr std::tuple kMembers{&RemovePause::service};
};
template <>
struct TableOf<RemoveShares> {
    static constexpr const char* kWrite = "DELETE FROM shares WHERE service = ?";
    static constexpr std::tuple kMembers{&RemoveShares::service};
};

}  // namespace thole::control
