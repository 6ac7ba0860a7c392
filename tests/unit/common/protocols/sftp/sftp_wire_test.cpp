#include "common/protocols/sftp/sftp_wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>

#include "common/error.h"

namespace red {
namespace {

SftpReader reader_of(const std::string& bytes) {
  return SftpReader(std::as_bytes(std::span(bytes)));
}

void expect_malformed(const std::string& bytes, void (*parse)(SftpReader)) {
  try {
    parse(reader_of(bytes));
    ADD_FAILURE() << "was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Protocol);
  }
}

TEST(SftpWire, NumbersAndStringsComeBack) {
  const std::string bytes = SftpWriter()
                                .u8(7)
                                .u32(0x01020304)
                                .u64(0x1122334455667788)
                                .string(std::string("a\0b", 3))
                                .take();
  EXPECT_EQ(bytes.substr(1, 4), "\x01\x02\x03\x04");
  SftpReader reader = reader_of(bytes);
  EXPECT_EQ(reader.u8(), 7);
  EXPECT_EQ(reader.u32(), 0x01020304u);
  EXPECT_EQ(reader.u64(), 0x1122334455667788u);
  EXPECT_EQ(reader.text(), std::string("a\0b", 3));
  EXPECT_TRUE(reader.at_end());
}

TEST(SftpWire, AttributesComeBackWhateverIsMissing) {
  for (int present = 0; present < 16; ++present) {
    SftpAttributes attributes;
    if ((present & 1) != 0) attributes.size = 5'000'000'000;
    if ((present & 2) != 0) attributes.owner = SftpAttributes::Owner{1000, 0xffffffff};
    if ((present & 4) != 0) attributes.mode = 0100644;
    if ((present & 8) != 0) attributes.times = SftpAttributes::Times{1, 0xfffffffe};
    const std::string bytes = SftpWriter().attributes(attributes).take();
    SftpReader reader = reader_of(bytes);
    EXPECT_EQ(reader.attributes(), attributes);
    EXPECT_TRUE(reader.at_end());
  }
}

TEST(SftpWire, UnknownExtendedAttributesAreSkipped) {
  const std::string bytes =
      SftpWriter().u32(0x80000004).u32(0644).u32(1).string("acl").string("x").u8(9).take();
  SftpReader reader = reader_of(bytes);
  EXPECT_EQ(reader.attributes().mode, 0644u);
  EXPECT_EQ(reader.u8(), 9);
}

TEST(SftpWire, CountsBeyondThePacketAreMalformed) {
  expect_malformed(SftpWriter().u32(0xffffffff).take(),
                   [](SftpReader body) { parse_sftp_names(body); });
  expect_malformed(SftpWriter().u32(0x80000000).u32(0xffffffff).take(),
                   [](SftpReader body) { body.attributes(); });
  expect_malformed(SftpWriter().u32(0xffffffff).u8(1).take(),
                   [](SftpReader body) { body.string(); });
}

TEST(SftpWire, NamesAreExactBytes) {
  SftpAttributes attributes;
  attributes.size = 3;
  const std::string bytes = SftpWriter()
                                .u32(2)
                                .string("a\nb\xff")
                                .string("-rw-r--r--")
                                .attributes(attributes)
                                .string("c")
                                .string("")
                                .attributes({})
                                .take();
  const auto names = parse_sftp_names(reader_of(bytes));
  ASSERT_EQ(names.size(), 2u);
  EXPECT_EQ(names[0].name, "a\nb\xff");
  EXPECT_EQ(names[0].attributes, attributes);
  EXPECT_EQ(names[1].name, "c");
}

TEST(SftpWire, AStatusMayLackItsText) {
  const std::string bytes = SftpWriter().u32(2).take();
  const SftpStatus status = parse_sftp_status(reader_of(bytes));
  EXPECT_EQ(status.code, SftpStatusCode::NoSuchFile);
  EXPECT_EQ(status.message, "");
}

TEST(SftpWire, AnyBytesAreReadOrRefused) {
  rc::check([](const std::string& bytes) {
    for (void (*parse)(SftpReader) : {+[](SftpReader body) { parse_sftp_names(body); },
                                      +[](SftpReader body) { parse_sftp_status(body); },
                                      +[](SftpReader body) { parse_sftp_extensions(body); },
                                      +[](SftpReader body) { parse_sftp_limits(body); },
                                      +[](SftpReader body) { parse_sftp_file_system(body); },
                                      +[](SftpReader body) { body.attributes(); }}) {
      try {
        parse(reader_of(bytes));
      } catch (const Error& error) {
        RC_ASSERT(error.kind() == ErrorKind::Protocol);
      }
    }
  });
}

}  // namespace
}  // namespace red
