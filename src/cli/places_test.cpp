// Where a system lies, and which files are its.
#include <gtest/gtest.h>

#include "cli/places.h"
#include "cli/project_files.h"
#include "cli/scripted_test.h"

namespace thole::cli {
namespace {

TEST(Places, RootKeepsRunAndDataInTheSystemsFolders) {
    const Places places =
        places_of("/srv/shop", "0123456789ab", {.uid = 0, .xdg_runtime_dir = "/x"});
    EXPECT_EQ(places.run, "/run/thole/0123456789ab");
    EXPECT_EQ(places.data, "/var/lib/thole/0123456789ab");
    EXPECT_EQ(places.api_socket(), "/run/thole/0123456789ab/api.sock");
}

TEST(Places, AUserKeepsThemWhereOnlyTheyMayLook) {
    Asker asker{.uid = 1000, .xdg_runtime_dir = "/run/user/1000"};
    EXPECT_EQ(places_of("/srv/shop", "0123456789ab", asker).run,
              "/run/user/1000/thole/0123456789ab");
    asker.xdg_runtime_dir = "";
    EXPECT_EQ(places_of("/srv/shop", "0123456789ab", asker).run,
              "/dev/shm/thole-1000/0123456789ab");
    EXPECT_EQ(places_of("/srv/shop", "0123456789ab", asker).data, "/srv/shop/.thole/data");
}

TEST(Places, VariablesNameThemWhole) {
    const Asker asker{.uid = 1000, .run_override = "/r", .data_override = "/d"};
    const Places places = places_of("/srv/shop", "", asker);
    EXPECT_EQ(places.run + places.data, "/r/d");
    EXPECT_TRUE(places.is_known());
    EXPECT_FALSE(places_of("/srv/shop", "", {.uid = 1000}).is_known());
}

TEST(Places, AnIdIsMadeOnceAndThenRead) {
    ScriptedOutside outside;
    EXPECT_EQ(find_places(outside, ".").value().id, "");
    const std::string id = make_places(outside, ".").value().id;
    EXPECT_EQ(id.size(), 12U);
    EXPECT_EQ(make_places(outside, ".").value().id, id);
    EXPECT_EQ(find_places(outside, ".").value().id, id);
    EXPECT_EQ(outside.env().files.read(outside.folder_ + "/.thole/.gitignore", 9).value(), "*\n");
}

// An id becomes part of paths that root writes to.
TEST(Places, WhatIsNoIdIsRefused) {
    ScriptedOutside outside;
    const std::string file = outside.folder_ + "/.thole/id";
    ASSERT_TRUE(outside.env().files.make_folder(outside.folder_ + "/.thole", 0755).ok());
    for (const char* bad : {"../../../etc", "", "0123456789AB", "0123456789abc"}) {
        ASSERT_TRUE(outside.env().files.replace(file, bad, env::Durability::None, 0644).ok());
        const Result<Places> found = find_places(outside, ".");
        ASSERT_FALSE(found.ok()) << bad;
        EXPECT_EQ(found.error().hint, "rm " + file);
    }
}

TEST(ProjectFiles, AreThoseOfGitEachOnceAndWithoutOurOwn) {
    ScriptedOutside outside;
    outside.git_["/p"] = {"web/b.js", "a", ".thole/id", ".thole", "web/b.js", ".tholerc"};
    EXPECT_EQ(list_files(outside, "/p").value(),
              (std::vector<std::string>{".tholerc", "a", "web/b.js"}));
}

TEST(ProjectFiles, OfARepositoryInsideAreListedByItself) {
    ScriptedOutside outside;
    outside.git_["/p"] = {"a", "lib/", "module"};
    outside.folders_ = {{"/p/lib", true}, {"/p/module", true}};
    outside.git_["/p/lib"] = {"x.c"};
    outside.git_["/p/module"] = {"./"};  // What git says of a submodule that is not there yet.
    EXPECT_EQ(list_files(outside, "/p").value(), (std::vector<std::string>{"a", "lib/x.c"}));
}

// A folder that the repository around it ignores is a project, too: an empty release serves nobody.
TEST(ProjectFiles, AreAllWhereGitListsNone) {
    ScriptedOutside outside;
    outside.all_["/p"] = {"server", "web/index.html"};
    EXPECT_EQ(list_files(outside, "/p").value().size(), 2U);
    outside.git_["/p"] = {};
    EXPECT_EQ(list_files(outside, "/p").value().size(), 2U);
}

}  // namespace
}  // namespace thole::cli
