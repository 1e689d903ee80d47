// Faults of a device, which no real one has on order. README.md beside this file says how they are ordered.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace emulated {

// Where a call can fail.
enum class Site { ALLOCATE, PIN, COPY, LAUNCH, PRODUCT, REPLAY, RECORD, EVENT, DESTROY, WAIT, OPEN, OTHER };

// What becomes of a call: it is refused with an error, or it is taken and ends the device's life when it is done.
struct Fault {
    int refused = 0, later = 0;
};

class Faults {
  public:
    Faults() {
        if (const char *order = std::getenv("BATON_EMULATED_FAULT")) take(order);
        if (const char *folder = std::getenv("BATON_EMULATED_FAULTS")) {
            file_ = std::string(folder) + "/" + std::to_string(getpid());
        }
    }

    // The error that every call fails with from now on, or 0.
    int lost() const { return lost_; }
    int lose(int error) { return lost_ = error; }

    Fault at(Site site) {
        look();
        if (lost_) return {lost_, 0};
        const bool meant = left_ > 0 && (any_ ? site != Site::DESTROY && site != Site::OTHER : site == site_);
        if (!meant || --left_ > 0) return {};
        if (!file_.empty()) unlink(file_.c_str());
        seen_ = {};
        // What nothing follows from cannot fail later.
        const bool begins = site == Site::COPY || site == Site::LAUNCH || site == Site::PRODUCT || site == Site::REPLAY;
        if (how_ == "later" && begins) return {0, error_};
        if (how_ != "once") lost_ = error_;
        return {error_, 0};
    }

  private:
    // A new order is in a new file.
    void look() {
        struct stat found;
        if (file_.empty() || stat(file_.c_str(), &found) != 0) return;
        if (found.st_ino == seen_.st_ino && found.st_ctim.tv_sec == seen_.st_ctim.tv_sec &&
            found.st_ctim.tv_nsec == seen_.st_ctim.tv_nsec)
            return;
        seen_ = found;
        std::FILE *file = std::fopen(file_.c_str(), "r");
        if (!file) return;
        char text[200] = {};
        const size_t length = std::fread(text, 1, sizeof text - 1, file);
        std::fclose(file);
        if (length > 0) take(text);
    }

    void take(const char *order) {
        static const char *const names[] = {"allocate", "pin",     "copy", "launch", "product",
                                            "replay",   "record",  "event", "destroy", "wait", "open"};
        char site[20] = {}, how[20] = {};
        if (std::sscanf(order, "%19s %ld %19s %d", site, &left_, how, &error_) != 4) {
            std::fprintf(stderr, "the emulated GPU: `%s` is no fault that can be ordered\n", order);
            std::abort();
        }
        how_ = how;
        // As a new process would find the device.
        lost_ = 0;
        any_ = std::strcmp(site, "any") == 0;
        int index = 0;
        for (const char *name : names) {
            if (std::strcmp(name, site) == 0) site_ = static_cast<Site>(index);
            index++;
        }
    }

    std::string file_, how_;
    struct stat seen_ = {};
    Site site_ = Site::OTHER;
    bool any_ = false;
    long left_ = 0;
    int error_ = 0, lost_ = 0;
};

} // namespace emulated
