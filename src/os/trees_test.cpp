// Folders as wholes on the real kernel: what is digested, copied and taken away, and above all what
// is not.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <functional>
#include <set>

#include "os/fd.h"
#include "os/linux_files.h"
#include "os/linux_trees.h"
#include "os/tree_folders.h"

namespace thole::os {
namespace {

constexpr env::Owner kNobody{65534, 65534};

class TreesTest : public testing::Test {
protected:
    TreesTest() {
        char name[] = "/tmp/thole-trees-test-XXXXXX";
        folder_ = mkdtemp(name);
        from_ = folder_ + "/from";
        to_ = folder_ + "/data/releases/1";
        make_folder(from_);
    }
    ~TreesTest() override {
        const std::string command = "chmod -R u+rwx " + folder_ + " && rm -rf " + folder_;
        EXPECT_EQ(system(command.c_str()), 0);
    }

    void make_folder(const std::string& path) {
        ASSERT_TRUE(files_.make_folder(path, 0755).ok()) << path;
    }
    void write(const std::string& path, std::string_view content, mode_t mode = 0644) {
        const std::string holder = path.substr(0, path.rfind('/'));
        ASSERT_TRUE(files_.make_folder(holder, 0755).ok()) << holder;
        ASSERT_TRUE(files_.replace(path, content, env::Durability::None, 0600).ok()) << path;
        ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    }
    void link(const std::string& target, const std::string& path) {
        ASSERT_EQ(::symlink(target.c_str(), path.c_str()), 0) << path;
    }
    // A file of each kind, in two folders.
    std::vector<std::string> write_release() {
        write(from_ + "/a", "one");
        write(from_ + "/b/run", "two", 0755);
        link("a", from_ + "/link");
        return {"a", "b/run", "link"};
    }
    std::string digest(const std::string& folder, const std::vector<std::string>& files,
                       std::string_view extra = "extra") {
        Result<std::string> found = trees_.digest(folder, files, extra);
        EXPECT_TRUE(found.ok()) << found.error().text();
        return std::move(found).value_or("");
    }
    Error copy_error(const std::vector<std::string>& files) {
        const Status done = trees_.copy({from_, files, to_, {}});
        EXPECT_FALSE(done.ok());
        return done.ok() ? Error{} : done.error();
    }
    static std::string digest_error(LinuxTrees& trees, const std::string& folder,
                                    const std::string& file) {
        const Result<std::string> found = trees.digest(folder, {file}, "");
        return found.ok() ? "ok"
                          : std::string(name_of(found.error().code)) + " " + found.error().message;
    }
    static struct stat look(const std::string& path) {
        struct stat info {};
        EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
        return info;
    }
    static mode_t mode_of(const std::string& path) { return look(path).st_mode & 07777U; }
    // What `work` returns in a process of its own, which may give up rights for ever.
    static std::string in_child(const std::function<std::string()>& work) {
        int ends[2];
        EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            const std::string said = work();
            const ssize_t written = ::write(ends[1], said.data(), said.size());
            ::_exit(written == static_cast<ssize_t>(said.size()) ? 0 : 1);
        }
        FileDescriptor(ends[1]).reset(-1);
        const FileDescriptor reading(ends[0]);
        std::string said;
        char block[4096];
        for (ssize_t got = 0; (got = ::read(reading.get(), block, sizeof(block))) > 0;)
            said.append(block, static_cast<std::size_t>(got));
        EXPECT_EQ(::waitpid(child, nullptr, 0), child);
        return said;
    }
    static bool give_up_root() {
        return ::geteuid() != 0 || (::setgid(kNobody.gid) == 0 && ::setuid(kNobody.uid) == 0);
    }
    static bool tell(const char* path, const std::string& text) {
        const FileDescriptor file(::open(path, O_WRONLY | O_CLOEXEC));
        return ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
    }
    // Mounts a small file system of our own here, for this process only.
    static bool mount_small(const std::string& path) {
        const env::Owner self{::geteuid(), ::getegid()};
        if (::unshare(CLONE_NEWNS | (self.uid == 0 ? 0 : CLONE_NEWUSER)) != 0) return false;
        if (self.uid != 0 && !(tell("/proc/self/uid_map", "0 " + std::to_string(self.uid) + " 1") &&
                               tell("/proc/self/setgroups", "deny") &&
                               tell("/proc/self/gid_map", "0 " + std::to_string(self.gid) + " 1")))
            return false;
        return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
               ::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=256k") == 0;
    }

    LinuxFiles files_;
    LinuxTrees trees_;
    std::string folder_;
    std::string from_;
    std::string to_;
};

// Two builds of thole must agree on it, or an update of thole would deploy everything anew.
TEST_F(TreesTest, ADigestIsTheSameForEver) {
    EXPECT_EQ(digest(from_, write_release()),
              "77c9d5c2f228475c588c7ebd76e421636653a97727b6f342a5c49535f7ddf8a5");
}

TEST_F(TreesTest, TheOrderOfTheListAndRepeatedNamesDoNotCount) {
    const std::string before = digest(from_, write_release());
    EXPECT_EQ(digest(from_, {"link", "b/run", "a", "b/run"}), before);
}

TEST_F(TreesTest, WhateverARunSeesChangesTheDigest) {
    const std::vector<std::string> list = write_release();
    std::set<std::string> seen = {digest(from_, list), digest(from_, list, "other"),
                                  digest(from_, {"a", "b/run"}), digest(from_, {}),
                                  digest(from_, {}, "")};
    write(from_ + "/a", "onf");
    seen.insert(digest(from_, list));
    ASSERT_EQ(::chmod((from_ + "/a").c_str(), 0744), 0);
    seen.insert(digest(from_, list));
    ASSERT_EQ(::unlink((from_ + "/link").c_str()), 0);
    link("b", from_ + "/link");
    seen.insert(digest(from_, list));
    ASSERT_EQ(::unlink((from_ + "/link").c_str()), 0);
    write(from_ + "/link", "b");
    seen.insert(digest(from_, list));
    EXPECT_EQ(seen.size(), 9U);
}

TEST_F(TreesTest, OwnerTimesAndOtherRightsDoNotCount) {
    const std::vector<std::string> list = write_release();
    const std::string before = digest(from_, list);
    ASSERT_EQ(::chmod((from_ + "/a").c_str(), 0666), 0);
    ASSERT_EQ(::chmod((from_ + "/b/run").c_str(), 0500), 0);
    EXPECT_EQ(digest(from_, list), before);
}

// git goes on listing what was deleted until that is committed.
TEST_F(TreesTest, AListedFileThatIsNotThereCountsAsNotListed) {
    const std::vector<std::string> list = write_release();
    const std::string before = digest(from_, list);
    EXPECT_EQ(digest(from_, {"a", "b/run", "link", "gone", "gone/too", "a/below-a-file"}), before);
    // A file that became a folder: git lists the old one and what is in the new.
    EXPECT_EQ(digest(from_, {"a", "b", "b/run", "link"}), before);
}

TEST_F(TreesTest, NothingIsReadThroughALinkToAFolder) {
    write(folder_ + "/outside/secret", "s");
    link(folder_ + "/outside", from_ + "/way-out");
    EXPECT_EQ(digest(from_, {"way-out/secret"}), digest(from_, {}));
    ASSERT_TRUE(trees_.copy({from_, {"way-out", "way-out/secret"}, to_, {}}).ok());
    EXPECT_TRUE(S_ISLNK(look(to_ + "/way-out").st_mode));
}

TEST_F(TreesTest, NamesThatLeadElsewhereAreRefused) {
    using namespace std::string_literals;
    for (const std::string& name : {""s, "/etc/passwd"s, ".."s, "../a"s, "b/../../a"s, "b/.."s,
                                    "."s, "./a"s, "b//run"s, "a\0b"s, "/"s}) {
        EXPECT_EQ(digest_error(trees_, from_, name).substr(0, 7), "invalid") << name;
        EXPECT_EQ(copy_error({name}).code, Code::Invalid) << name;
    }
    for (const std::string& path :
         {""s, "relative"s, "/"s, "/tmp/../tmp/x"s, "/tmp//x"s, "/tmp/x/"s, "/tmp/x\0y"s}) {
        EXPECT_EQ(digest_error(trees_, path, "a").substr(0, 7), "invalid") << path;
        EXPECT_EQ(trees_.copy({from_, {}, path, {}}).error().code, Code::Invalid) << path;
        EXPECT_EQ(trees_.make_owned(path, {}, 0700).error().code, Code::Invalid) << path;
        EXPECT_EQ(trees_.remove(path).error().code, Code::Invalid) << path;
        EXPECT_EQ(trees_.bytes_of(path).error().code, Code::Invalid) << path;
    }
}

// Opening a pipe would wait for ever for one who writes.
TEST_F(TreesTest, WhatIsNoFileIsRefusedByName) {
    ASSERT_EQ(::mkfifo((from_ + "/pipe").c_str(), 0600), 0);
    make_folder(from_ + "/lib");
    const FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (from_ + "/socket").copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const std::string end = "; a release holds only regular files and symbolic links";
    const std::string folder_said = ": is a folder (a repository of its own, or a submodule?)";
    EXPECT_EQ(digest_error(trees_, from_, "pipe"),
              "invalid " + from_ + "/pipe: is a named pipe" + end);
    EXPECT_EQ(digest_error(trees_, from_, "socket"),
              "invalid " + from_ + "/socket: is a socket" + end);
    EXPECT_EQ(digest_error(trees_, "/dev", "null"), "invalid /dev/null: is a device" + end);
    EXPECT_EQ(digest_error(trees_, from_, "lib"), "invalid " + from_ + "/lib" + folder_said + end);
    EXPECT_EQ(digest_error(trees_, from_, "lib/"), "invalid lib/" + folder_said + end);
    EXPECT_FALSE(copy_error({"pipe"}).hint.empty());
    EXPECT_FALSE(files_.exists(to_));
}

TEST_F(TreesTest, WhatMayNotBeReadIsNamed) {
    write(from_ + "/secret", "s", 0);
    ASSERT_EQ(::chmod(folder_.c_str(), 0711), 0);
    EXPECT_EQ(
        in_child([&] { return give_up_root() ? digest_error(trees_, from_, "secret") : "cannot"; }),
        "denied read " + from_ + "/secret: Permission denied");
    EXPECT_EQ(digest_error(trees_, folder_ + "/none", "a").substr(0, 9), "not-found");
}

TEST_F(TreesTest, ACopyHasTheDigestOfItsSource) {
    std::vector<std::string> list = write_release();
    write(from_ + "/big", std::string(3'000'000, 'x'));
    write(from_ + "/c/d/e/empty", "", 0700);
    list.insert(list.end(), {"big", "c/d/e/empty"});
    write(from_ + "/not-listed", "x");
    const mode_t umask_before = ::umask(077);
    const Status done = trees_.copy({from_, list, to_, {}});
    ::umask(umask_before);
    ASSERT_TRUE(done.ok()) << done.error().text();
    EXPECT_EQ(digest(to_, list), digest(from_, list));
    EXPECT_FALSE(files_.exists(to_ + "/not-listed"));
    for (const char* name : {"", "/b", "/c", "/c/d/e", "/b/run", "/c/d/e/empty"})
        EXPECT_EQ(mode_of(to_ + name), 0755U) << name;
    for (const char* name : {"/a", "/big"}) EXPECT_EQ(mode_of(to_ + name), 0644U) << name;
    EXPECT_EQ(mode_of(folder_ + "/data/releases"), 0711U);
}

// More files than are synced one by one.
TEST_F(TreesTest, ACopyOfManyFilesIsWholeToo) {
    std::vector<std::string> list;
    for (int number = 0; number < 200; ++number) {
        list.push_back("f" + std::to_string(number % 10) + "/" + std::to_string(number));
        write(from_ + "/" + list.back(), std::to_string(number));
    }
    ASSERT_TRUE(trees_.copy({from_, list, to_, {}}).ok());
    EXPECT_EQ(digest(to_, list), digest(from_, list));
    EXPECT_EQ(mode_of(to_ + "/f9"), 0755U);
}

TEST_F(TreesTest, ACopyBelongsToItsOwnerWhereWeMayGiveItAway) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root gives files away";
    ASSERT_TRUE(trees_.copy({from_, write_release(), to_, kNobody}).ok());
    for (const char* name : {"", "/a", "/b", "/b/run", "/link"})
        EXPECT_EQ(look(to_ + name).st_uid, kNobody.uid) << name;
    EXPECT_EQ(look(folder_ + "/data/releases").st_uid, 0U);
}

TEST_F(TreesTest, ACopyIsMadeAnew) {
    const std::vector<std::string> list = write_release();
    write(to_ + "/left/over", "x");
    ASSERT_TRUE(trees_.copy({from_, list, to_, {}}).ok());
    EXPECT_FALSE(files_.exists(to_ + "/left"));
    // A link that stands there goes, not what it leads to.
    write(folder_ + "/outside/kept", "x");
    ASSERT_TRUE(trees_.remove(to_).ok());
    link(folder_ + "/outside", to_);
    ASSERT_TRUE(trees_.copy({from_, list, to_, {}}).ok());
    EXPECT_EQ(files_.list(folder_ + "/outside").value().size(), 1U);
    EXPECT_EQ(digest(to_, list), digest(from_, list));
}

// To make the target anew would have taken the user's own files.
TEST_F(TreesTest, ACopyOverItsOwnSourceIsRefused) {
    const std::vector<std::string> list = write_release();
    link(from_, folder_ + "/other-name");
    for (const std::string& from : {from_, from_ + "/b", folder_ + "/other-name/b"}) {
        const Status done = trees_.copy({from, {}, from_, {}});
        ASSERT_FALSE(done.ok());
        EXPECT_EQ(done.error().code, Code::Invalid);
    }
    EXPECT_TRUE(files_.exists(from_ + "/b/run"));
    EXPECT_TRUE(trees_.copy({from_, list, from_ + "/.thole/1", {}}).ok());
}

TEST_F(TreesTest, ACopyThatIsNotWholeIsTakenAwayAgain) {
    std::vector<std::string> list = write_release();
    ASSERT_EQ(::mkfifo((from_ + "/pipe").c_str(), 0600), 0);
    list.push_back("pipe");
    EXPECT_EQ(copy_error(list).code, Code::Invalid);
    EXPECT_FALSE(files_.exists(to_));
    write(folder_ + "/file", "x");
    to_ = folder_ + "/file/below";
    EXPECT_FALSE(copy_error({"a"}).message.empty());
}

TEST_F(TreesTest, AFullDiskIsToldWithThePathAndLeavesNoHalfCopy) {
    write(from_ + "/big", std::string(1'000'000, 'x'));
    make_folder(folder_ + "/small");
    const std::string said = in_child([&] {
        if (!mount_small(folder_ + "/small")) return std::string("cannot mount");
        const Status done = trees_.copy({from_, {"big"}, folder_ + "/small/copy", {}});
        if (done.ok()) return std::string("ok");
        return std::string(name_of(done.error().code)) + " " + done.error().message +
               (files_.exists(folder_ + "/small/copy") ? " left" : "");
    });
    if (said == "cannot mount") GTEST_SKIP() << "needs rights to mount, or user namespaces";
    EXPECT_EQ(said, "overload write " + folder_ + "/small/copy/big: No space left on device");
}

TEST_F(TreesTest, AFolderOfItsOwnIsForItsOwnerAlone) {
    const std::string path = folder_ + "/data/state/web";
    const env::Owner owner = ::geteuid() == 0 ? kNobody : env::Owner{::geteuid(), ::getegid()};
    const mode_t umask_before = ::umask(077);
    const Status done = trees_.make_owned(path, owner, 0700);
    ::umask(umask_before);
    ASSERT_TRUE(done.ok()) << done.error().text();
    EXPECT_EQ(mode_of(path), 0700U);
    EXPECT_EQ(look(path).st_uid, owner.uid);
    EXPECT_EQ(mode_of(folder_ + "/data/state"), 0711U);
    EXPECT_EQ(mode_of(folder_ + "/data"), 0711U);
    EXPECT_EQ(mode_of(folder_), 0700U);
    // Again: what is in it stays, and rights that were lost come back.
    write(path + "/kept", "x");
    ASSERT_EQ(::chmod(path.c_str(), 0755), 0);
    ASSERT_TRUE(trees_.make_owned(path, owner, 0700).ok());
    EXPECT_EQ(mode_of(path), 0700U);
    EXPECT_TRUE(files_.exists(path + "/kept"));
}

// A service that could put a link there would be given any folder of the machine.
TEST_F(TreesTest, AFolderOfItsOwnIsNeverALink) {
    make_folder(folder_ + "/outside");
    link(folder_ + "/outside", folder_ + "/state");
    write(folder_ + "/file", "x");
    for (const char* name : {"/state", "/file"}) {
        const Status done = trees_.make_owned(folder_ + name, kNobody, 0700);
        ASSERT_FALSE(done.ok());
        EXPECT_EQ(done.error().code, Code::Conflict);
        EXPECT_NE(done.error().message.find(folder_ + name), std::string::npos);
    }
    EXPECT_EQ(look(folder_ + "/outside").st_uid, ::geteuid());
    EXPECT_FALSE(trees_.make_owned(folder_ + "/file/below", {}, 0700).ok());
}

// Another user takes over what a service keeps: all that was its own, and nothing of a stranger's.
TEST_F(TreesTest, AFolderIsHandedOverWithAllInItThatWasItsOwners) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: files are given away";
    constexpr env::Owner kBefore{990, 990};
    const std::string path = folder_ + "/state/shop";
    ASSERT_TRUE(trees_.hand_over(path, kBefore, 0700).ok());
    write(folder_ + "/outside/kept", "x");
    write(path + "/deep/er/rows.db", "x");
    write(path + "/by-hand", "x");
    link(folder_ + "/outside/kept", path + "/link");
    link(folder_ + "/outside", path + "/folder-link");
    ASSERT_EQ(::link((folder_ + "/outside/kept").c_str(), (path + "/second-name").c_str()), 0);
    for (const char* name : {"/deep", "/deep/er", "/deep/er/rows.db", "/link", "/folder-link"})
        ASSERT_EQ(::lchown((path + name).c_str(), 990, 990), 0);
    const Status done = trees_.hand_over(path, kNobody, 0700);
    ASSERT_TRUE(done.ok()) << done.error().text();
    for (const char* name : {"", "/deep", "/deep/er", "/deep/er/rows.db", "/link", "/folder-link"})
        EXPECT_EQ(look(path + name).st_uid, kNobody.uid) << name;
    EXPECT_EQ(look(path + "/by-hand").st_uid, 0U);
    EXPECT_EQ(look(path + "/second-name").st_uid, 0U);
    EXPECT_EQ(look(folder_ + "/outside").st_uid, 0U);
    EXPECT_EQ(mode_of(path), 0700U);
    EXPECT_TRUE(trees_.hand_over(path, kNobody, 0700).ok());
    EXPECT_FALSE(trees_.hand_over(path + "/link", kBefore, 0700).ok());
}

TEST_F(TreesTest, RemovingTakesTheTreeAndNothingThatLinksLeadTo) {
    write(folder_ + "/outside/kept", "x");
    write(from_ + "/a/b/c", "x");
    write(from_ + "/empty/x", "x");
    link(folder_ + "/outside", from_ + "/a/link");
    link("nowhere", from_ + "/broken");
    ASSERT_EQ(::mkfifo((from_ + "/pipe").c_str(), 0600), 0);
    ASSERT_TRUE(trees_.remove(from_).ok());
    EXPECT_FALSE(files_.exists(from_));
    EXPECT_TRUE(files_.exists(folder_ + "/outside/kept"));
    EXPECT_TRUE(trees_.remove(from_).ok());
    EXPECT_TRUE(trees_.remove(folder_ + "/none/below/none").ok());
    link(folder_ + "/outside", from_);
    ASSERT_TRUE(trees_.remove(from_).ok());
    EXPECT_TRUE(files_.exists(folder_ + "/outside/kept"));
}

// Go's module cache, for one, takes its owner the right to write.
TEST_F(TreesTest, ReadOnlyFoldersOfOurOwnAreRemovedToo) {
    ASSERT_EQ(::chmod(folder_.c_str(), 0777), 0);
    const std::string tree = folder_ + "/tree";
    EXPECT_EQ(in_child([&] {
                  if (!give_up_root()) return std::string("cannot");
                  write(tree + "/cache/x", "x", 0444);
                  write(tree + "/shut/x", "x", 0444);
                  const bool done = ::chmod((tree + "/cache").c_str(), 0555) == 0 &&
                                    ::chmod((tree + "/shut").c_str(), 0) == 0;
                  const Status removed = trees_.remove(tree);
                  return !done ? "chmod" : removed.ok() ? "ok" : removed.error().text();
              }),
              "ok");
    EXPECT_FALSE(files_.exists(tree));
}

TEST_F(TreesTest, WhatMayNotBeRemovedIsNamed) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs a file of somebody else's";
    write(from_ + "/b/mine", "x");
    ASSERT_EQ(::chmod(folder_.c_str(), 0711), 0);
    const std::string said = in_child([&] {
        const Status done = give_up_root() ? trees_.remove(from_) : success();
        return done.ok() ? "ok"
                         : std::string(name_of(done.error().code)) + " " + done.error().message;
    });
    EXPECT_EQ(said, "denied remove mine in " + from_ + ": Permission denied");
}

// Longer than any path may be, and deeper than we may have descriptors.
TEST_F(TreesTest, ATreeDeeperThanAnyPathIsRemoved) {
    FileDescriptor at(::open(from_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    write(from_ + "/.deep-0/x", "in the way of the name that we would use");
    for (int depth = 0; depth < 2500; ++depth) {
        ASSERT_EQ(::mkdirat(at.get(), "d", 0700), 0);
        at = FileDescriptor(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        ASSERT_TRUE(at.is_open());
    }
    EXPECT_TRUE(trees_.bytes_of(from_).ok());
    EXPECT_EQ(in_child([&] {
                  const rlimit descriptors{256, 256};
                  if (::setrlimit(RLIMIT_NOFILE, &descriptors) != 0) return std::string("cannot");
                  const Status done = trees_.remove(from_);
                  return done.ok() ? "ok" : done.error().text();
              }),
              "ok");
    EXPECT_FALSE(files_.exists(from_));
}

TEST_F(TreesTest, AFileSystemMountedInsideIsLeftAlone) {
    make_folder(from_ + "/small");
    const std::string said = in_child([&] {
        if (!mount_small(from_ + "/small")) return std::string("cannot mount");
        write(from_ + "/small/kept", "x");
        const Status done = trees_.remove(from_);
        if (!files_.exists(from_ + "/small/kept")) return std::string("gone");
        return done.ok() ? "ok" : done.error().message;
    });
    if (said == "cannot mount") GTEST_SKIP() << "needs rights to mount, or user namespaces";
    EXPECT_EQ(said, "remove " + from_ + ": another file system is mounted at small in it");
}

// A service that still runs may swap a folder for a link between our look and our step.
TEST_F(TreesTest, ALinkThatComesMeanwhileIsNoFolder) {
    make_folder(folder_ + "/outside");
    link(folder_ + "/outside", from_ + "/link");
    const FileDescriptor holder(::open(from_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    EXPECT_FALSE(open_folder_at(holder.get(), "link", For::Read).is_open());
    EXPECT_FALSE(open_folder_at(holder.get(), "link", For::Pass).is_open());
}

TEST_F(TreesTest, AFolderIsSyncedWithAllThatIsInItOrSaysWhyNot) {
    write(from_ + "/b/big", std::string(1'000'000, 'x'));
    EXPECT_TRUE(trees_.sync(from_).ok());
    EXPECT_EQ(trees_.sync(folder_ + "/none").error().code, Code::NotFound);
}

TEST_F(TreesTest, RoomIsCountedInBlocksAndOnceAFile) {
    write(from_ + "/b/big", std::string(1'000'000, 'x'));
    const std::uint64_t before = trees_.bytes_of(from_).value();
    EXPECT_GE(before, 1'000'000U);
    EXPECT_LT(before, 1'200'000U);
    ASSERT_EQ(::link((from_ + "/b/big").c_str(), (from_ + "/b/again").c_str()), 0);
    write(folder_ + "/outside/big", std::string(1'000'000, 'x'));
    link(folder_ + "/outside", from_ + "/link");
    link(folder_ + "/outside/big", from_ + "/b/link");
    EXPECT_LT(trees_.bytes_of(from_).value(), before + 50'000);
    EXPECT_EQ(trees_.bytes_of(folder_ + "/none").error().code, Code::NotFound);
    EXPECT_FALSE(trees_.bytes_of(from_ + "/link").ok());
}

}  // namespace
}  // namespace thole::os
