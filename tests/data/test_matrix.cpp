// Codec x container x B-frames x GOP x pixel format x rotation x timestamps: files that the ffmpeg program or our own
// writer encodes, small ones, each read in random order and compared with the program's sequential decode.
#include <algorithm>
#include <array>
#include <filesystem>
#include <sstream>
#include <string_view>

#include "data/encoder.h"
#include "tests/catch.h"
#include "tests/data/packed.h"
#include "tests/data/program.h"
#include "tests/data/videos.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

using test::TemporaryFolder;

struct Case {
  const char* file;
  const char* script;  // of test::run_script
};

/// True if this FFmpeg lacks an encoder that the script names.
bool lacks_encoder(const std::string& script) {
  std::istringstream words(script);
  for (std::string word, before; words >> word; before = word)
    if (before == "-c:v" && word != "copy" && !has_encoder(word)) return true;
  return false;
}

void check_cases(const std::vector<Case>& cases) {
  const TemporaryFolder folder;
  std::size_t tried = 0;
  for (const Case& c : cases) {
    INFO(c.file);
    if (lacks_encoder(c.script)) {
      WARN("no encoder for " << c.file);
      continue;
    }
    const std::string path = folder.file(c.file);
    const bool made = test::run_script(folder.file(""), c.script, path);
    INFO(test::read_file(folder.file("log")));
    CHECK(made);
    if (!made) continue;
    const test::Digests truth = test::program_decode(path);
    const bool odd = truth.width % 2 == 1 && truth.height % 2 == 1;
    CHECK((odd || std::string_view(c.file).find("odd") == std::string_view::npos));
    test::check_access(path, truth);
    ++tried;
  }
  // AV1's encoders are all that a distribution may lack.
  CHECK((tried == cases.size() || (cases.size() < 8 && tried > 0)));
}

TEST_CASE("matrix: MPEG-4 part 2 and its kin", "[video][matrix]") {
  check_cases({
      {"xvid_b2.avi", "enc -c:v mpeg4 -vtag XVID -bf 2 -g 12 $o"},
      {"divx_b1_long.avi", "enc -c:v mpeg4 -vtag DX50 -bf 1 -g 250 $o"},
      {"divx.avi", "enc -c:v mpeg4 -vtag DIVX -bf 0 -g 9 $o"},
      {"fmp4_b4.avi", "enc -c:v mpeg4 -bf 4 -g 25 $o"},
      {"intra.avi", "enc -c:v mpeg4 -g 1 $o"},
      {"qpel.avi", "enc -c:v mpeg4 -flags +qpel+mv4 -bf 2 -g 12 $o"},
      {"interlaced.avi", "enc -c:v mpeg4 -flags +ilme+ildct -bf 2 -g 12 $o"},
      {"closed.avi", "enc -c:v mpeg4 -flags +cgop -sc_threshold 1000000000 -bf 2 -g 8 $o"},
      {"odd.avi", "enc_size 51x37 -c:v mpeg4 -bf 2 -g 12 $o"},
      {"libxvid.avi", "enc -c:v libxvid -bf 2 -g 12 $o"},
      {"mpeg4_b2.mp4", "enc -c:v mpeg4 -bf 2 -g 12 $o"},
      {"mpeg4_b2.mov", "enc -c:v mpeg4 -bf 2 -g 30 $o"},
      {"mpeg4_b2.mkv", "enc -c:v mpeg4 -bf 2 -g 12 $o"},
      {"mpeg4_b2.ts", "enc -c:v mpeg4 -bf 2 -g 12 $o"},
      {"mpeg4_b2.m4v", "enc -c:v mpeg4 -bf 2 -g 12 $o"},
      {"mpeg4_b2.3gp", "enc -c:v mpeg4 -bf 2 -g 12 $o"},
      {"div3.avi", "enc -c:v msmpeg4 -g 12 $o"},
      {"mp42.avi", "enc -c:v msmpeg4v2 -g 12 $o"},
      {"wmv1.asf", "enc -c:v wmv1 -g 12 $o"},
      {"wmv2.wmv", "enc -c:v wmv2 -g 12 $o"},
      {"h263.3gp", "enc_size 128x96 -c:v h263 -g 12 $o"},
      {"h263p.avi", "enc -c:v h263p -g 12 $o"},
      {"flv1.flv", "enc -c:v flv -g 12 $o"},
  });
}

TEST_CASE("matrix: packed B-frames in AVI", "[video][matrix]") {
  const TemporaryFolder folder;
  int number = 0;
  for (const int b_frames : {1, 2, 3})
    for (const int gop : {10, 250})
      for (const bool every_key : {false, true}) {
        const std::string plain = folder.file("plain.avi");
        const std::string path = folder.file("packed" + std::to_string(number) + ".avi");
        test::encode(plain, {.codec = "mpeg4", .width = 48, .height = 36, .gop = gop, .b_frames = b_frames}, 40);
        test::pack_b_frames(plain, path, {++number % 2 == 0 ? "XVID" : "DX50", "DivX503b1393p", every_key});
        INFO(b_frames << " B-frames, GOP " << gop << (every_key ? ", user data at every key" : ""));
        const test::Digests truth = test::program_decode(path);
        // Packing changes the file, not the film; its last frame hangs on what a player does at the end.
        const test::Digests unpacked = test::program_decode(plain);
        REQUIRE(truth.count() >= unpacked.count() - 1);
        CHECK(std::equal(truth.frames.begin(), truth.frames.end() - 1, unpacked.frames.begin()));
        test::check_access(path, truth);
      }
}

TEST_CASE("matrix: H.264", "[video][matrix]") {
  check_cases({
      {"b0.mp4", "enc -c:v libx264 -bf 0 -g 12 $o"},
      {"pyramid.mp4", "enc -c:v libx264 -bf 4 -x264-params b-adapt=0:b-pyramid=normal:keyint=20 $o"},
      {"strict.mp4", "enc -c:v libx264 -bf 4 -x264-params b-adapt=0:b-pyramid=strict:bluray-compat=1:keyint=15 $o"},
      {"open.mp4", "enc -c:v libx264 -bf 3 -x264-params b-adapt=0:open-gop=1:keyint=10:min-keyint=4 $o"},
      {"open.mkv", "enc -c:v libx264 -bf 3 -x264-params b-adapt=0:open-gop=1:keyint=10:min-keyint=4 $o"},
      {"open.ts", "enc -c:v libx264 -bf 3 -x264-params b-adapt=0:open-gop=1:keyint=10:min-keyint=4 $o"},
      {"open.264", "enc -c:v libx264 -bf 3 -x264-params b-adapt=0:open-gop=1:keyint=10:min-keyint=4 -f h264 $o"},
      {"long.mp4", "enc -c:v libx264 -bf 3 -g 250 $o"},
      {"refresh.mp4", "enc -c:v libx264 -x264-params intra-refresh=1:keyint=10 $o"},
      {"refresh.ts", "enc -c:v libx264 -x264-params intra-refresh=1:keyint=10 $o"},
      {"mbaff.mp4", "enc_size 48x64 -c:v libx264 -flags +ilme+ildct -bf 2 -g 12 -x264-params tff=1 $o"},
      {"mbaff.ts", "enc_size 48x64 -c:v libx264 -flags +ilme+ildct -bf 2 -g 12 -x264-params bff=1 $o"},
      {"fake_interlaced.mp4", "enc_size 48x64 -c:v libx264 -bf 2 -g 12 -x264-params fake-interlaced=1 $o"},
      {"pulldown.mkv", "enc_size 48x64 -c:v libx264 -bf 2 -g 12 -x264-params pulldown=32:fake-interlaced=1 $o"},
      {"refs.mp4", "enc -c:v libx264 -bf 8 -refs 8 -x264-params b-adapt=0:keyint=40 $o"},
      {"cavlc.mov", "enc -c:v libx264 -profile:v baseline -g 12 $o"},
      {"slices.mp4", "enc -c:v libx264 -bf 2 -g 12 -slices 4 $o"},
      {"zerolatency.flv", "enc -c:v libx264 -tune zerolatency -g 12 $o"},
      {"lossless.mkv", "enc -c:v libx264 -qp 0 -bf 3 -g 12 $o"},
      {"b3.avi", "enc -c:v libx264 -bf 3 -g 12 $o"},
      {"b3.flv", "enc -c:v libx264 -bf 3 -g 12 $o"},
      {"b3.mkv", "enc -c:v libx264 -bf 3 -g 250 $o"},
      {"b3.mov", "enc -c:v libx264 -bf 3 -g 12 $o"},
      {"b3.264", "enc -c:v libx264 -bf 3 -g 12 -f h264 $o"},
      {"b3.nut", "enc -c:v libx264 -bf 3 -g 12 $o"},
      {"ten_bits.mp4", "enc -c:v libx264 -pix_fmt yuv420p10le -bf 2 -g 12 $o"},
      {"422_ten_bits.mkv", "enc -c:v libx264 -pix_fmt yuv422p10le -bf 2 -g 12 $o"},
      {"444.mp4", "enc -c:v libx264 -pix_fmt yuv444p -bf 2 -g 12 $o"},
      {"444_odd.mp4", "enc_size 51x37 -c:v libx264 -pix_fmt yuv444p -bf 2 -g 12 $o"},
      {"cropped.mp4", "enc_size 50x38 -c:v libx264 -bf 2 -g 12 $o"},
      {"full_range.mp4", "enc -c:v libx264 -pix_fmt yuvj420p -bf 2 -g 12 $o"},
      {"gray.mp4", "enc -c:v libx264 -pix_fmt gray -bf 2 -g 12 $o"},
      {"rgb.mkv", "enc -c:v libx264rgb -pix_fmt rgb24 -bf 2 -g 12 $o"},
  });
}

TEST_CASE("matrix: HEVC", "[video][matrix]") {
  check_cases({
      {"open.mp4",
       "enc_size 64x48 -c:v libx265 -preset ultrafast -x265-params "
       "log-level=none:pools=1:keyint=10:min-keyint=10:bframes=3:open-gop=1 $o"},
      {"closed.mp4",
       "enc_size 64x48 -c:v libx265 -preset ultrafast -tag:v hvc1 -x265-params "
       "log-level=none:pools=1:keyint=10:bframes=3:open-gop=0 $o"},
      {"b4.mkv",
       "enc_size 64x48 -c:v libx265 -preset ultrafast -x265-params "
       "log-level=none:pools=1:keyint=250:bframes=4:b-pyramid=1 $o"},
      {"layers.mp4",
       "enc_size 64x48 -c:v libx265 -preset ultrafast -x265-params "
       "log-level=none:pools=1:keyint=250:bframes=4:b-pyramid=1:temporal-layers=1 $o"},
      {"open.ts",
       "enc_size 64x48 -c:v libx265 -preset ultrafast -x265-params "
       "log-level=none:pools=1:keyint=10:min-keyint=10:bframes=3:open-gop=1 $o"},
      {"b3.hevc",
       "enc_size 64x48 -c:v libx265 -preset ultrafast -x265-params "
       "log-level=none:pools=1:keyint=12:bframes=3 $o"},
      {"b0.mov",
       "enc_size 64x48 -c:v libx265 -preset ultrafast -x265-params "
       "log-level=none:pools=1:keyint=12:bframes=0 $o"},
      {"ten_bits.mp4",
       "enc_size 64x48 -c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params "
       "log-level=none:pools=1:keyint=12:bframes=2 $o"},
      {"444_odd.mkv",
       "enc_size 67x49 -c:v libx265 -preset ultrafast -pix_fmt yuv444p -x265-params "
       "log-level=none:pools=1:keyint=12:bframes=2 $o"},
  });
}

TEST_CASE("matrix: VP8, VP9 and Theora", "[video][matrix]") {
  check_cases({
      {"vp8_altref.webm", "enc -c:v libvpx -cpu-used 8 -g 15 -auto-alt-ref 1 -lag-in-frames 16 $o"},
      {"vp8.avi", "enc -c:v libvpx -cpu-used 8 -g 15 $o"},
      {"vp8.ivf", "enc -c:v libvpx -cpu-used 8 -g 15 -auto-alt-ref 1 -lag-in-frames 16 $o"},
      {"vp8_alpha.webm", "enc -c:v libvpx -cpu-used 8 -g 15 -pix_fmt yuva420p -auto-alt-ref 0 $o"},
      {"vp9_altref.webm", "enc -c:v libvpx-vp9 -cpu-used 8 -g 15 -auto-alt-ref 1 -lag-in-frames 16 $o"},
      {"vp9_altref.mkv", "enc -c:v libvpx-vp9 -cpu-used 8 -g 250 -auto-alt-ref 1 -lag-in-frames 25 $o"},
      {"vp9.mp4", "enc -c:v libvpx-vp9 -cpu-used 8 -g 12 $o"},
      {"vp9.avi", "enc -c:v libvpx-vp9 -cpu-used 8 -g 15 $o"},
      {"vp9_odd_444.webm", "enc_size 51x37 -c:v libvpx-vp9 -cpu-used 8 -g 12 -pix_fmt yuv444p $o"},
      {"vp9_odd.webm", "enc_size 51x37 -c:v libvpx-vp9 -cpu-used 8 -g 12 $o"},
      {"vp9_ten_bits.webm", "enc -c:v libvpx-vp9 -cpu-used 8 -g 12 -pix_fmt yuv420p10le $o"},
      {"vp9_rgb.webm", "enc -c:v libvpx-vp9 -cpu-used 8 -g 12 -pix_fmt gbrp $o"},
      {"theora.ogv", "enc -c:v libtheora -g 12 $o"},
      {"theora_long.ogv", "enc -c:v libtheora -g 200 $o"},
      {"theora_sound.ogv",
       "ff -f lavfi -i testsrc2=s=48x36:r=25:d=1.6 -f lavfi -i sine=d=1.6 -c:v libtheora -g 12 "
       "-c:a libvorbis $o"},
      {"theora_422.mkv", "enc -c:v libtheora -g 12 -pix_fmt yuv422p $o"},
      {"theora_odd.ogv", "enc_size 51x37 -c:v libtheora -g 12 $o"},
  });
}

TEST_CASE("matrix: AV1", "[video][matrix]") {
  check_cases({
      {"aom.mp4", "enc -c:v libaom-av1 -cpu-used 8 -g 12 -lag-in-frames 16 $o"},
      {"aom.webm", "enc -c:v libaom-av1 -cpu-used 8 -g 40 -lag-in-frames 25 $o"},
      {"aom_ten_bits.mkv", "enc -c:v libaom-av1 -cpu-used 8 -g 12 -pix_fmt yuv420p10le $o"},
      {"aom.obu", "enc -c:v libaom-av1 -cpu-used 8 -g 12 $o"},
      {"svt.mp4", "enc_size 64x64 -c:v libsvtav1 -preset 12 -g 12 $o"},
  });
}

TEST_CASE("matrix: MPEG-1 and MPEG-2", "[video][matrix]") {
  check_cases({
      {"mpeg1.mpg", "enc -c:v mpeg1video -bf 2 -g 12 $o"},
      {"mpeg1.avi", "enc -c:v mpeg1video -bf 2 -g 12 $o"},
      {"mpeg1.m1v", "enc -c:v mpeg1video -bf 2 -g 12 $o"},
      {"mpeg2.mpg", "enc -c:v mpeg2video -bf 2 -g 12 $o"},
      {"mpeg2.ts", "enc -c:v mpeg2video -bf 2 -g 12 $o"},
      {"mpeg2.vob", "enc -c:v mpeg2video -bf 2 -g 12 $o"},
      {"mpeg2.m2v", "enc -c:v mpeg2video -bf 2 -g 12 $o"},
      {"mpeg2.mkv", "enc -c:v mpeg2video -bf 2 -g 12 $o"},
      {"mpeg2_long.mp4", "enc -c:v mpeg2video -bf 3 -g 100 $o"},
      {"mpeg2_closed.ts", "enc -c:v mpeg2video -flags +cgop -sc_threshold 1000000000 -bf 2 -g 9 $o"},
      {"mpeg2_interlaced.mpg", "enc_size 48x64 -c:v mpeg2video -flags +ilme+ildct -alternate_scan 1 -bf 2 -g 12 $o"},
      {"mpeg2_422.ts", "enc -c:v mpeg2video -pix_fmt yuv422p -bf 2 -g 12 $o"},
      {"mpeg2_intra_refresh.ts", "enc -c:v mpeg2video -intra_vlc 1 -bf 0 -g 9 $o"},
  });
}

TEST_CASE("matrix: intra codecs and pixel formats", "[video][matrix]") {
  check_cases({
      {"mjpeg.avi", "enc -c:v mjpeg -pix_fmt yuvj420p $o"},
      {"mjpeg_422.mov", "enc -c:v mjpeg -pix_fmt yuvj422p $o"},
      {"mjpeg_444_odd.mkv", "enc_size 51x37 -c:v mjpeg -pix_fmt yuvj444p $o"},
      {"mjpeg.mp4", "enc -c:v mjpeg -pix_fmt yuvj420p $o"},
      {"mjpeg.mjpeg", "enc -c:v mjpeg -pix_fmt yuvj420p $o"},
      {"ffv1_gray.mkv", "enc -c:v ffv1 -g 8 -pix_fmt gray $o"},
      {"ffv1_gray16_odd.mkv", "enc_size 51x37 -c:v ffv1 -g 8 -pix_fmt gray16le $o"},
      {"ffv1_420_10.mkv", "enc -c:v ffv1 -pix_fmt yuv420p10le $o"},
      {"ffv1_411.avi", "enc -c:v ffv1 -g 8 -pix_fmt yuv411p $o"},
      {"ffv1_410.avi", "enc -c:v ffv1 -g 8 -pix_fmt yuv410p $o"},
      {"ffv1_440.mkv", "enc -c:v ffv1 -pix_fmt yuv440p $o"},
      {"ffv1_alpha.mkv", "enc -c:v ffv1 -pix_fmt yuva420p $o"},
      {"ffv1_rgb.mkv", "enc -c:v ffv1 -pix_fmt bgr0 $o"},
      {"ffv1_rgb_12.mkv", "enc -c:v ffv1 -pix_fmt gbrp12le $o"},
      {"cinepak.avi", "enc -c:v cinepak -t 0.5 $o"},
      {"cinepak.mov", "enc -c:v cinepak -t 0.5 $o"},
      {"huffyuv.avi", "enc -c:v huffyuv -pix_fmt yuv422p $o"},
      {"utvideo.avi", "enc -c:v utvideo -pix_fmt gbrp $o"},
      {"prores.mov", "enc -c:v prores_ks -pix_fmt yuv422p10le $o"},
      {"prores_4444.mov", "enc -c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le $o"},
      {"qtrle.mov", "enc -c:v qtrle -g 12 $o"},
      {"rpza.mov", "enc -c:v rpza $o"},
      {"smc_gray.mov", "enc -c:v smc -pix_fmt pal8 $o"},
      {"svq1.mov", "enc -c:v svq1 -g 12 $o"},
      {"png_pal8.avi", "enc -vf split[a][b]\\;[a]palettegen[p]\\;[b][p]paletteuse -c:v png -pix_fmt pal8 $o"},
      {"png_16.mov", "enc -c:v png -pix_fmt rgb48be $o"},
      {"png_mono.mkv", "enc -c:v png -pix_fmt monob $o"},
      {"pal8.nut", "enc -vf split[a][b]\\;[a]palettegen[p]\\;[b][p]paletteuse -c:v rawvideo -pix_fmt pal8 $o"},
      {"palette.gif", "enc -vf split[a][b]\\;[a]palettegen[p]\\;[b][p]paletteuse $o"},
      {"plain.gif", "enc $o"},
      {"rgb24.avi", "enc -c:v rawvideo -pix_fmt bgr24 $o"},
      {"rgb555.avi", "enc -c:v rawvideo -pix_fmt rgb555le $o"},
      {"gray.nut", "enc_size 51x37 -c:v rawvideo -pix_fmt gray $o"},
      {"yuyv.avi", "enc -c:v rawvideo -pix_fmt yuyv422 $o"},
      {"uyvy.mov", "enc -c:v rawvideo -pix_fmt uyvy422 $o"},
      {"nv12.nut", "enc -c:v rawvideo -pix_fmt nv12 $o"},
      {"p010.nut", "enc -c:v rawvideo -pix_fmt p010le $o"},
      {"v210.mov", "enc -c:v v210 $o"},
      {"odd.y4m", "enc_size 51x37 -pix_fmt yuv420p $o"},
      {"zmbv.avi", "enc -c:v zmbv -g 12 $o"},
      {"flashsv.flv", "enc -c:v flashsv -g 12 $o"},
      {"msvideo1.avi", "enc -c:v msvideo1 -g 12 $o"},
      {"rv20.rm", "enc -c:v rv20 -g 12 $o"},
      {"snow.avi", "enc -c:v snow -strict -2 -g 12 $o"},
      {"jpeg2000.mov", "enc -c:v jpeg2000 $o"},
      {"apng.apng", "enc -c:v apng $o"},
  });
}

TEST_CASE("matrix: timestamps and edit lists", "[video][matrix]") {
  check_cases({
      {"cut.mp4", "enc -c:v libx264 -bf 3 -g 12 a.mp4; ff -ss 0.7 -i a.mp4 -c copy $o"},
      {"cut_mpeg4.mp4", "enc -c:v mpeg4 -bf 2 -g 12 a.mp4; ff -ss 0.7 -i a.mp4 -c copy $o"},
      {"cut.mov", "enc -c:v libx264 -bf 3 -g 40 a.mov; ff -ss 1.1 -i a.mov -c copy $o"},
      {"cut_end.mp4", "enc -c:v libx264 -bf 3 -g 12 a.mp4; ff -ss 0.3 -i a.mp4 -t 0.5 -c copy $o"},
      {"cut.mkv", "enc -c:v libx264 -bf 3 -g 12 a.mkv; ff -ss 0.7 -i a.mkv -c copy $o"},
      {"cut_open.mkv",
       "enc -c:v libx264 -bf 3 -x264-params b-adapt=0:open-gop=1:keyint=10:min-keyint=4 a.mkv; "
       "ff -ss 0.7 -i a.mkv -c copy $o"},
      {"cut_open.mp4",
       "enc -c:v libx264 -bf 3 -x264-params b-adapt=0:open-gop=1:keyint=10:min-keyint=4 a.mkv; "
       "ff -ss 0.7 -i a.mkv -c copy $o"},
      {"cut.avi", "enc -c:v mpeg4 -bf 2 -g 12 a.avi; ff -ss 0.7 -i a.avi -c copy $o"},
      {"offset.mp4", "enc -c:v libx264 -bf 3 -g 12 a.mp4; ff -itsoffset 3 -i a.mp4 -c copy $o"},
      {"offset_sound.mp4",
       "enc -c:v libx264 -bf 3 -g 12 a.mp4; ff -itsoffset 0.7 -i a.mp4 -f lavfi -i sine=d=2 -c:v "
       "copy -map 0:v -map 1:a $o"},
      {"offset.mkv", "enc -c:v libx264 -bf 3 -g 12 a.mp4; ff -itsoffset 3 -i a.mp4 -c copy $o"},
      {"offset.ts", "enc -c:v libx264 -bf 3 -g 12 a.mp4; ff -itsoffset 3 -i a.mp4 -c copy $o"},
      {"negative.mp4",
       "enc -c:v libx264 -bf 3 -g 12 a.mp4; ff -itsoffset -0.5 -i a.mp4 -c copy "
       "-avoid_negative_ts disabled $o"},
      {"negative.mkv",
       "enc -c:v libx264 -bf 3 -g 12 a.mp4; ff -itsoffset -0.5 -i a.mp4 -c copy "
       "-avoid_negative_ts disabled $o"},
      {"no_edit_list.mp4", "enc -c:v libx264 -bf 3 -g 12 -use_editlist 0 $o"},
      {"negative_cts.mp4", "enc -c:v libx264 -bf 3 -g 12 -movflags negative_cts_offsets $o"},
      {"fragments.mp4", "enc -c:v libx264 -bf 3 -g 12 -movflags frag_keyframe+empty_moov $o"},
      {"fragments_each.mp4", "enc -c:v libx264 -bf 3 -g 12 -movflags frag_every_frame+empty_moov+default_base_moof $o"},
      {"dash_sidx.mp4", "enc -c:v libx264 -bf 3 -g 12 -movflags dash+global_sidx+frag_keyframe $o"},
      {"faststart.mp4", "enc -c:v libx264 -bf 3 -g 12 -movflags faststart $o"},
      {"vfr.mp4", "enc -vf select='mod(n\\,3)*mod(n\\,7)' -fps_mode vfr -c:v libx264 -bf 3 -g 12 $o"},
      {"vfr.mkv", "enc -vf select='mod(n\\,3)*mod(n\\,7)' -fps_mode vfr -c:v libx264 -bf 3 -g 12 $o"},
      {"vfr_fast.mkv", "enc -vf setpts='N*N/40/TB/25' -fps_mode vfr -c:v libvpx-vp9 -cpu-used 8 -g 12 $o"},
      {"skips.avi", "enc -vf select='mod(n\\,3)*mod(n\\,7)' -fps_mode vfr -c:v mpeg4 -g 12 $o"},
      {"skips_b.avi", "enc -vf select='mod(n\\,5)' -fps_mode vfr -c:v mpeg4 -bf 2 -g 12 $o"},
      {"ntsc.mp4", "enc -r 30000/1001 -c:v libx264 -bf 3 -g 12 -video_track_timescale 600 $o"},
      {"no_times.264", "enc -c:v libx264 -bf 3 -g 12 a.mp4; ff -i a.mp4 -c copy -f h264 $o"},
      {"no_pts.avi", "enc -c:v libx264 -bf 3 -g 12 a.mp4; ff -i a.mp4 -c copy -bsf:v h264_mp4toannexb $o"},
      {"packets_out_of_step.mkv", "enc -c:v mpeg4 -bf 2 -g 12 a.avi; ff -fflags +genpts -i a.avi -c copy $o"},
      {"equal_pts.mkv",
       "enc -c:v mjpeg -pix_fmt yuvj420p a.mkv; ff -i a.mkv -c copy -bsf:v "
       "'setts=pts=floor(N/3)*40:dts=floor(N/3)*40' $o"},
      {"backward_pts.mkv",
       "enc -c:v mjpeg -pix_fmt yuvj420p a.mkv; ff -i a.mkv -c copy -bsf:v "
       "'setts=pts=mod(N\\,20)*40+N:dts=N' $o"},
  });
}

TEST_CASE("matrix: sound beside it, starts in the middle, two films in one", "[video][matrix]") {
  check_cases({
      {"late_sound.mp4", "ff -f lavfi -i testsrc2=s=48x36:r=25:d=1.6 -f lavfi -i sine=d=3 -c:v libx264 -bf 3 -g 12 $o"},
      {"sound.ts",
       "ff -f lavfi -i testsrc2=s=48x36:r=25:d=1.6 -f lavfi -i sine=d=1.6 -c:v mpeg2video -bf 2 -c:a mp2 $o"},
      {"sound.avi", "ff -f lavfi -i testsrc2=s=48x36:r=25:d=1.6 -f lavfi -i sine=d=1.6 -c:v mpeg4 -bf 2 -c:a mp2 $o"},
      {"sound.mpg",
       "ff -f lavfi -i testsrc2=s=48x36:r=25:d=1.6 -f lavfi -i sine=d=1.6 -c:v mpeg1video -bf 2 -c:a mp2 $o"},
      {"cover.mp4",
       "enc -frames:v 1 -c:v png a.png; enc -c:v libx264 -bf 2 -g 12 a.mp4; ff -i a.png -i a.mp4 -map 1 "
       "-map 0 -c copy -disposition:v:1 attached_pic $o"},
      {"two_films.avi",
       "enc -c:v libx264 -bf 3 -g 12 a.mp4; ff -i a.mp4 -f lavfi -i testsrc=s=64x48:r=10:d=1 -map 0 -map 1 -c:v:0 copy "
       "-c:v:1 mpeg4 $o"},
      {"two_films.ts",
       "enc -c:v libx264 -bf 3 -g 12 a.mp4; ff -f lavfi -i testsrc=s=32x24:r=25:d=1 -i a.mp4 -map 0 -map 1 "
       "-c:v:0 mpeg2video -c:v:1 copy $o"},
      {"second_by_default.mkv",
       "enc -c:v mpeg4 -g 12 a.mp4; ff -f lavfi -i testsrc=s=64x48:r=25:d=1 -i a.mp4 -map 0 -map 1 -c:v:0 mpeg4 "
       "-c:v:1 copy -disposition:v:0 0 -disposition:v:1 default $o"},
      {"middle.ts", "enc -c:v libx264 -bf 3 -g 12 a.ts; tail -c +$((188 * 30 + 1)) a.ts >$o"},
      {"middle_mpeg2.ts", "enc -c:v mpeg2video -bf 2 -g 12 a.ts; tail -c +9401 a.ts >$o"},
      {"middle.264", "enc -c:v libx264 -bf 3 -g 12 -f h264 a; tail -c +$(($(wc -c <a) / 4)) a >$o"},
      {"middle_open.264",
       "enc -c:v libx264 -bf 3 -x264-params b-adapt=0:open-gop=1:keyint=10:min-keyint=4 -f h264 a; "
       "tail -c +$(($(wc -c <a) / 4)) a >$o"},
      {"middle.hevc",
       "enc_size 64x48 -c:v libx265 -preset ultrafast -x265-params "
       "log-level=none:pools=1:keyint=10:bframes=3:open-gop=1 -f hevc a; "
       "tail -c +$(($(wc -c <a) / 4)) a >$o"},
      {"middle.mpg", "enc -c:v mpeg2video -bf 2 -g 12 a.mpg; tail -c +$(($(wc -c <a.mpg) / 3)) a.mpg >$o"},
      {"middle.m4v", "enc -c:v mpeg4 -bf 2 -g 12 a.m4v; tail -c +$(($(wc -c <a.m4v) / 4)) a.m4v >$o"},
      {"twice.mpg", "enc -c:v mpeg2video -bf 2 -g 12 a.mpg; cat a.mpg a.mpg >$o"},
      {"twice.ts", "enc -c:v libx264 -bf 3 -g 12 a.ts; cat a.ts a.ts >$o"},
      {"twice.264", "enc -c:v libx264 -bf 3 -g 12 -f h264 a.264; cat a.264 a.264 >$o"},
      {"stills.mkv", "ff -f lavfi -i color=red:s=48x36:r=25:d=1.6 -c:v libx264 -bf 3 -g 12 $o"},
      {"one_frame.mp4", "enc -frames:v 1 -c:v libx264 $o"},
  });
}

TEST_CASE("matrix: colour", "[video][matrix]") {
  check_cases({
      {"709.mp4", "enc -c:v libx264 -bf 2 -colorspace bt709 $o"},
      {"709_full.mp4", "enc -c:v libx264 -bf 2 -colorspace bt709 -color_range pc $o"},
      {"2020.mkv", "enc -c:v libx264 -bf 2 -pix_fmt yuv420p10le -colorspace bt2020nc -color_range tv $o"},
      {"240m.mp4", "enc -c:v libx264 -bf 2 -colorspace smpte240m $o"},
      {"fcc.mkv", "enc -c:v libx264 -bf 2 -colorspace fcc $o"},
      {"601_full.mkv", "enc -c:v libx264 -bf 2 -colorspace bt470bg -color_range pc $o"},
      {"709.mpg", "enc -c:v mpeg2video -bf 2 -colorspace bt709 $o"},
      {"709_full.webm", "enc -c:v libvpx-vp9 -cpu-used 8 -colorspace bt709 -color_range pc $o"},
      {"709_ffv1.mkv", "enc -c:v ffv1 -pix_fmt yuv444p -colorspace bt709 $o"},
      {"gray_full.mkv", "enc -c:v libx264 -pix_fmt gray -color_range pc $o"},
      {"709_odd.mp4", "enc_size 51x37 -c:v libx264 -pix_fmt yuv444p -colorspace bt709 $o"},
      {"aspect.mp4", "enc -c:v libx264 -bf 2 -aspect 16:9 $o"},
  });
}

/// Replaces the display matrix of an MP4 or MOV file; values as numbers, not fixed point.
void set_matrix(const std::string& path, const std::array<int, 4>& abcd) {
  std::string bytes = test::read_file(path);
  const auto box = bytes.find("tkhd");
  REQUIRE(box != std::string::npos);
  // Version 0: four bytes of version and flags, five words, two reserved, four halves; then the matrix.
  const std::size_t at = box + 4 + 4 + 20 + 8 + 8;
  const auto put = [&](std::size_t word, int value) {
    const auto fixed = static_cast<std::uint32_t>(value * 65536);
    for (std::size_t i = 0; i < 4; ++i) bytes.at(at + 4 * word + i) = static_cast<char>(fixed >> (24 - 8 * i));
  };
  put(0, abcd[0]);
  put(1, abcd[1]);
  put(3, abcd[2]);
  put(4, abcd[3]);
  test::write_file(path, bytes);
}

TEST_CASE("matrix: rotation", "[video][matrix]") {
  const TemporaryFolder folder;
  for (const char* extension : {"mp4", "mov"})
    for (const char* codec : {"mpeg4", "libx264", "mjpeg"})
      for (const int rotation : {90, 180, 270}) {
        if (!has_encoder(codec)) continue;
        const std::string path =
            folder.file(std::string(codec) + std::to_string(rotation) + "." + std::string(extension));
        INFO(path);
        test::encode(path,
                     {.codec = codec,
                      .width = 48,
                      .height = 36,
                      .b_frames = std::string(codec) == "mjpeg" ? 0 : 2,
                      .rotation = rotation,
                      .pixel_format = std::string(codec) == "mjpeg" ? "yuvj420p" : "yuv420p"},
                     30);
        CHECK(Video(path).info().rotation == rotation);
        test::check_access(path, test::program_decode(path));
      }
  const std::array<int, 4> matrices[] = {{-1, 0, 0, 1}, {1, 0, 0, -1}, {0, 1, 1, 0}, {0, -1, -1, 0}, {0, 1, -1, 0}};
  for (const auto& matrix : matrices) {
    const std::string path = folder.file("matrix.mp4");
    INFO("matrix " << matrix[0] << ' ' << matrix[1] << ' ' << matrix[2] << ' ' << matrix[3]);
    test::encode(path, {.codec = "mpeg4", .width = 48, .height = 36, .b_frames = 2}, 30);
    set_matrix(path, matrix);
    test::check_access(path, test::program_decode(path));
  }
}

TEST_CASE("matrix: a size that changes in mid-stream", "[video][matrix]") {
  const TemporaryFolder folder;
  const Case cases[] = {
      {"h264.ts", "enc -c:v libx264 -bf 3 -g 12 a.ts; enc_size 64x48 -c:v libx264 -bf 3 -g 12 b.ts; cat a.ts b.ts >$o"},
      {"mpeg2.ts",
       "enc -c:v mpeg2video -bf 2 -g 12 a.ts; enc_size 32x32 -c:v mpeg2video -bf 2 -g 12 b.ts; "
       "cat a.ts b.ts a.ts >$o"},
      {"h264.264",
       "enc -c:v libx264 -f h264 -g 12 a.264; enc_size 64x48 -c:v libx264 -f h264 b.264; cat a.264 b.264 >$o"},
      {"vp9.mkv",
       "enc -c:v libvpx-vp9 -cpu-used 8 a.webm; enc_size 64x48 -c:v libvpx-vp9 -cpu-used 8 b.webm; "
       "printf 'file a.webm\\nfile b.webm\\n' >list; ff -f concat -i list -c copy $o"},
      {"mjpeg.avi",
       "enc -c:v mjpeg -pix_fmt yuvj420p a.avi; enc_size 64x48 -c:v mjpeg -pix_fmt yuvj420p b.avi; "
       "printf 'file a.avi\\nfile b.avi\\n' >list; ff -f concat -i list -c copy $o"},
      {"format.mkv",
       "enc -c:v ffv1 a.mkv; enc -c:v mjpeg -pix_fmt yuvj420p b.mjpeg; enc -c:v mjpeg -pix_fmt yuvj444p "
       "c.mjpeg; cat b.mjpeg c.mjpeg >d.mjpeg; ff -i d.mjpeg -c copy $o"},
  };
  for (const Case& c : cases) {
    INFO(c.file);
    if (lacks_encoder(c.script)) continue;
    const std::string path = folder.file(c.file);
    const bool made = test::run_script(folder.file(""), c.script, path);
    INFO(test::read_file(folder.file("log")));
    REQUIRE(made);
    // Frames of the first's size have no need of the scaler, whose kind is then of no account.
    const std::int64_t other = Video(path).info().other_sizes;
    CHECK((other > 0) == (std::string(c.file) != "format.mkv"));
    const test::Digests truth = test::program_decode(path, other > 0 ? "bilinear" : "bicubic");
    test::check_access(path, truth);
  }
}

}  // namespace
}  // namespace mcn
