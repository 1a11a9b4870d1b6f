// How state.db grew: step i takes a file of version i to i + 1. A step that was released is never
// changed; a new one is added below it. The version is SQLite's user_version.
#pragma once

#include <cstddef>

namespace thole::control {

constexpr const char* kSchemaSteps[] = {
    R"(
CREATE TABLE manifests(revision INTEGER PRIMARY KEY, folder TEXT NOT NULL, text TEXT NOT NULL,
    applied INTEGER NOT NULL) STRICT;
CREATE TABLE services(id INTEGER PRIMARY KEY, name TEXT NOT NULL, uid INTEGER NOT NULL,
    serving INTEGER NOT NULL, wanted INTEGER NOT NULL, scale INTEGER NOT NULL,
    restart INTEGER NOT NULL, is_removed INTEGER NOT NULL) STRICT;
CREATE TABLE releases(service INTEGER NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL,
    revision INTEGER NOT NULL, status INTEGER NOT NULL, reason TEXT NOT NULL,
    made INTEGER NOT NULL, PRIMARY KEY(service, number)) STRICT, WITHOUT ROWID;
CREATE TABLE slots(slot INTEGER PRIMARY KEY, service INTEGER NOT NULL,
    generation INTEGER NOT NULL, is_build INTEGER NOT NULL) STRICT;
CREATE TABLE intents(slot INTEGER NOT NULL, generation INTEGER NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY(slot, generation)) STRICT, WITHOUT ROWID;
CREATE TABLE listeners(id INTEGER PRIMARY KEY, service INTEGER NOT NULL, caller INTEGER NOT NULL,
    address INTEGER NOT NULL, port INTEGER NOT NULL) STRICT;
CREATE TABLE timeline(sequence INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL,
    service TEXT NOT NULL, instance TEXT NOT NULL, text TEXT NOT NULL) STRICT;
CREATE INDEX timeline_of_service ON timeline(service, sequence);
CREATE TABLE numbers(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
)",
    R"(
CREATE TABLE pauses(service INTEGER PRIMARY KEY, is_on INTEGER NOT NULL, since INTEGER NOT NULL,
    limit_ns INTEGER NOT NULL, author TEXT NOT NULL) STRICT;
)",
    R"(
CREATE TABLE shares(service INTEGER PRIMARY KEY, salt_low INTEGER NOT NULL,
    salt_high INTEGER NOT NULL, parts TEXT NOT NULL) STRICT;
)",
};
constexpr int kSchemaVersion = static_cast<int>(sizeof(kSchemaSteps) / sizeof(kSchemaSteps[0]));

}  // namespace thole::control
