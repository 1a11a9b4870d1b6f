// The command line's outside on the real machine: files as git and as the disk list them, and
// programs that are run.
#include "app/outside_linux.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>

#include "app/program.h"

namespace thole::app {
namespace {

class OutsideLinuxTest : public testing::Test {
protected:
    OutsideLinuxTest() {
        char name[] = "/tmp/thole-outside-test-XXXXXX";
        folder_ = mkdtemp(name);
    }
    ~OutsideLinuxTest() override { shell("rm -rf " + folder_); }
    static void shell(const std::string& command) { EXPECT_EQ(system(command.c_str()), 0); }
    std::vector<std::string> sorted(std::vector<std::string> files) {
        std::sort(files.begin(), files.end());
        return files;
    }
    OutsideLinux outside_;
    std::string folder_;
};

TEST_F(OutsideLinuxTest, ListsAllFilesButThoseInDotFolders) {
    shell("cd " + folder_ + " && mkdir -p a/.cache a/b .hidden && touch x .env a/b/y a/.cache/z " +
          ".hidden/z && ln -s /etc a/link && mkfifo pipe");
    EXPECT_EQ(sorted(outside_.all_files(folder_).value()),
              (std::vector<std::string>{".env", "a/b/y", "a/link", "x"}));
    EXPECT_FALSE(outside_.git_files(folder_).value().has_value());
    EXPECT_FALSE(outside_.all_files(folder_ + "/nowhere").ok());
}

// Also in a hook of git, whose variables name another repository.
TEST_F(OutsideLinuxTest, ListsWhatGitTracksOrWouldTrack) {
    if (system("git --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "no git here";
    shell("cd " + folder_ +
          " && git init -q . && mkdir -p shop/out && touch top shop/a 'shop/b c' " +
          "shop/out/o && echo out > shop/.gitignore && git add shop/a");
    ::setenv("GIT_DIR", "/nowhere", 1);
    const auto files = outside_.git_files(folder_ + "/shop").value();
    ::unsetenv("GIT_DIR");
    ASSERT_TRUE(files.has_value());
    EXPECT_EQ(sorted(*files), (std::vector<std::string>{".gitignore", "a", "b c"}));
}

// What it ignores (secrets, a gigabyte of packages) is not known where it fails.
TEST_F(OutsideLinuxTest, AGitThatFailsIsNoMissingRepository) {
    if (system("git --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "no git here";
    shell("cd " + folder_ + " && mkdir -p a/b && echo 'gitdir: /nowhere' >.git");
    const auto files = outside_.git_files(folder_ + "/a/b");
    ASSERT_FALSE(files.ok());
    EXPECT_EQ(files.error().hint, "git -C " + folder_ + "/a/b status");
}

TEST_F(OutsideLinuxTest, AFileThatIsMadeOnceIsItsFirstMakers) {
    const std::string path = folder_ + "/id";
    ASSERT_TRUE(outside_.make_once(path, "first\n").ok());
    ASSERT_TRUE(outside_.make_once(path, "second\n").ok());
    EXPECT_EQ(outside_.env().files.read(path, 64).value(), "first\n");
    EXPECT_EQ(outside_.all_files(folder_).value(), std::vector<std::string>{"id"});
    EXPECT_FALSE(outside_.make_once(folder_ + "/no/id", "x").ok());
}

TEST_F(OutsideLinuxTest, AFolderIsFoundByItsRealPath) {
    shell("ln -s " + folder_ + " " + folder_ + "/self && touch " + folder_ + "/file");
    EXPECT_EQ(outside_.real_folder(folder_ + "/self").value(), folder_);
    EXPECT_EQ(outside_.real_folder(folder_ + "/nowhere").error().code, Code::NotFound);
    EXPECT_EQ(outside_.real_folder(folder_ + "/file").error().code, Code::Invalid);
    EXPECT_FALSE(outside_.is_folder(folder_ + "/self"));  // A link is a file of the project.
}

TEST_F(OutsideLinuxTest, AKeeperThatRefusesIsHeardWithItsHint) {
    shell("mkdir -p " + folder_ +
          "/lib/thole && printf '#!/bin/sh\\necho \"keeper: no: $1 $3\" >&2\\n" +
          "echo \"  try: this\" >&2\\nexit 1\\n' > " + folder_ + "/lib/thole/keeper && chmod +x " +
          folder_ + "/lib/thole/keeper");
    const Status started = outside_.start_keeper({.run = "/r", .data = "/d", .binaries = folder_});
    ASSERT_FALSE(started.ok());
    EXPECT_EQ(started.error().text(), "keeper: no: start /r\n  try: this");
    EXPECT_FALSE(outside_.start_keeper({.run = "/r", .data = "/d", .binaries = "/nowhere"}).ok());
}

TEST_F(OutsideLinuxTest, AProgramsOtherOutputGoesNowhere) {
    const Ended ended =
        run_program({"sh", "-c", "echo out; echo err >&2; exit 3"}, Kept::Problems).value();
    EXPECT_EQ(ended.said, "err\n");
    EXPECT_EQ(WEXITSTATUS(ended.status), 3);
}

TEST_F(OutsideLinuxTest, BinariesAreWhereThisProgramLies) {
    EXPECT_TRUE(outside_.env().files.exists(outside_.binaries() + "/app_test"));
}

}  // namespace
}  // namespace thole::app
