#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace red {

/// The orders in which programs go through the files of a directory.
enum class FileOrder {
  Listed,   ///< as the server lists them: find, readdir
  ByName,   ///< by bytes: ls, globs, sorted() in scripts
  Numeric,  ///< numbers in names by their value: loops that count
};
inline constexpr std::size_t kFileOrders = 3;

/// Where a file stands in each order.
using FileRanks = std::array<std::size_t, kFileOrders>;

/// Notices that the files of one directory are opened one after the other, and says which ones are
/// next. Several readers that share the work may overtake each other. Pure: no clock, no threads.
class FilesAheadPolicy {
 public:
  /// What follows from an open.
  struct Step {
    bool is_broken = false;  ///< the reader went elsewhere: nothing that was begun is wanted
    std::optional<FileOrder> order = {};  ///< fetch the files of these ranks, if there is one
    std::size_t begin = 0;
    std::size_t end = 0;  ///< may lie behind the last file
  };

  /// A file is opened. `expected`: the order in which the reader went through a sibling of this
  /// directory a moment ago, if there was one.
  Step opened(const FileRanks& ranks, std::optional<FileOrder> expected);

  /// Only the files before `rank` were taken from the last step: there was no room for more.
  void stopped_at(std::size_t rank) { frontier_ = rank; }

  /// The order of the reader, once it is known.
  std::optional<FileOrder> order() const { return order_; }
  /// The furthest that it has opened.
  std::size_t position() const { return position_; }

 private:
  void look_for_order(const FileRanks& ranks, std::optional<FileOrder> expected);
  void begin(FileOrder order, std::size_t rank);

  std::optional<FileOrder> order_;
  std::size_t position_ = 0;
  std::size_t frontier_ = 0;  ///< the first that has not been asked for
  std::size_t window_ = 0;
  std::optional<FileRanks> furthest_;  ///< while the order is unknown
  std::array<int, kFileOrders> steps_{};
};

/// Compares names as a person sorts them: a run of digits by its value ("2" before "10"), all else
/// by bytes. A total order.
bool numerically_before(std::string_view left, std::string_view right);

}  // namespace red
