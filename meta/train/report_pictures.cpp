// Strips as animations, and the sections that hold them.
#include "meta/train/report_pictures.h"

#include <fmt/format.h>

#include <algorithm>

#include "meta/train/report.h"
#include "meta/train/report_matrix.h"

namespace mcn {
namespace {

std::string class_of(const RunPictures& pictures, std::int64_t label) {
  return html_text(pictures.classes.at(static_cast<std::size_t>(label)));
}

std::string views_html(const RunPictures& pictures) {
  if (pictures.views.empty()) return {};
  std::string figures;
  for (const RunPictures::Views& views : pictures.views) {
    const auto shot = [&](const Strip& strip, const std::string& label) {
      return fmt::format("<li>{}{}</li>", strip_html(strip, fmt::format("{}: {}", views.video, label)), label);
    };
    figures += fmt::format("<figure><figcaption>{}</figcaption><ul class=\"shots\">{}{}{}</ul></figure>\n",
                           html_text(views.video), shot(views.frames, "decoded"), shot(views.first, "view 1"),
                           shot(views.second, pictures.residual ? "view 2, differences" : "view 2"));
  }
  return fmt::format(
      "<p class=\"soft\">Training videos before the augmentation, and their two views as the network gets "
      "them.{}</p>\n"
      "<div class=\"charts views\">\n{}</div>\n",

      pictures.residual ? fmt::format(" The second view is the difference of consecutive frames: gray where nothing "
                                      "moves, at {} times the contrast.",
                                      residual_contrast)
                        : "",
      figures);
}

std::string gallery_html(const RunPictures& pictures) {
  if (pictures.gallery.empty()) return {};
  std::string figures;
  std::size_t right = 0;
  for (const RunPictures::Query& query : pictures.gallery) {
    std::string shots = fmt::format("<li class=\"query\">{}<b>query</b></li>",
                                    strip_html(query.video.strip, "query " + query.video.name));
    for (std::size_t n = 0; n < query.neighbors.size(); ++n) {
      const RunPictures::Video& neighbor = query.neighbors[n];
      const bool same = neighbor.label == query.video.label;
      if (n == 0 && same) ++right;
      shots += fmt::format(
          "<li class=\"{0}\">{1}<b>{2} {0}</b><span title=\"{3}\">{3}</span><small>{4:.3f}</small></li>",
          same ? "right" : "wrong", strip_html(neighbor.strip, fmt::format("neighbor {}, {}", n + 1, neighbor.name)),
          same ? "✓" : "✗", class_of(pictures, neighbor.label), neighbor.cosine);
    }
    figures += fmt::format("<figure><figcaption>{}<small>{}</small></figcaption><ol class=\"shots\">{}</ol></figure>\n",
                           class_of(pictures, query.video.label), html_text(query.video.name), shots);
  }
  return fmt::format(
      "<p class=\"soft\">Test videos, taken evenly from the classes and not by result, and for each the nearest of "
      "{} "
      "training videos by the cosine of their features (the number below). The nearest one has the right class for {} "
      "of these {}, and for {} of all {} test videos. A strip shows the middle of its video.</p>\n<div class=\"charts "
      "gallery\">\n{}</div>\n",
      pictures.train_videos, right, pictures.gallery.size(), pictures.nearest_right, pictures.test_videos, figures);
}

std::string matrix_html(const RunPictures& pictures) {
  if (pictures.confusion.empty()) return {};
  const std::size_t n = pictures.classes.size();
  std::vector<std::vector<double>> matrix(n);
  std::int64_t right = 0;
  for (std::size_t c = 0; c < n; ++c) {
    const auto row = pictures.confusion.begin() + static_cast<std::ptrdiff_t>(c * n);
    matrix[c].assign(row, row + static_cast<std::ptrdiff_t>(n));
    right += pictures.confusion[c * n + c];
  }
  return fmt::format(
      "<div class=\"card\"><p class=\"soft\">What the weighted vote of the {} nearest of {} training videos says of "
      "{} "
      "test videos: {:.1f}% are right, and {:.1f}% would be by chance. These are samples, with {} clips a video; "
      "<code>mcn evaluate</code> takes all.</p>{}</div>\n",
      pictures.neighbors, pictures.train_videos, pictures.test_videos,
      100 * static_cast<double>(right) / static_cast<double>(std::max<std::int64_t>(1, pictures.test_videos)),
      100 * pictures.chance, pictures.clips, confusion_html(matrix, pictures.classes));
}

}  // namespace

std::string base64(std::string_view bytes) {
  static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t at) -> unsigned {
      return at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0U;
    };
    const unsigned group = byte(i) << 16U | byte(i + 1) << 8U | byte(i + 2);
    for (unsigned digit = 0; digit < 4; ++digit)
      text += i + digit > bytes.size() ? '=' : digits[group >> (18U - 6U * digit) & 63U];
  }
  return text;
}

std::string strip_html(const Strip& strip, const std::string& alt) {
  if (strip.jpeg.empty()) return "<div class=\"strip\">cannot be read</div>";
  return fmt::format(
      "<div class=\"strip\" style=\"--n:{0};--w:{1};--h:{2}\"><img alt=\"{3}\" width=\"{1}\" height=\"{4}\" "
      "src=\"data:image/jpeg;base64,{5}\"></div>",
      strip.frames, strip.width, strip.height, html_text(alt), strip.frames * strip.height, base64(strip.jpeg));
}

std::string pictures_sections(std::span<const RunPictures> pictures, std::span<const std::string> names) {
  using Part = std::string (*)(const RunPictures&);
  std::string html;
  for (const auto& [heading, part] : {std::pair<const char*, Part>("What the network sees", views_html),
                                      std::pair<const char*, Part>("Nearest neighbors", gallery_html),
                                      std::pair<const char*, Part>("Confusion of the k-NN", matrix_html),
                                      std::pair<const char*, Part>("Map of the test videos' features", map_html)}) {
    std::string of_runs;
    for (std::size_t r = 0; r < pictures.size(); ++r)
      if (const std::string of_run = part(pictures[r]); !of_run.empty())
        of_runs += (names.size() > 1 ? fmt::format("<h3>{}</h3>\n", html_text(names[r])) : "") + of_run;
    if (!of_runs.empty()) html += fmt::format("<h2>{}</h2>\n{}", heading, of_runs);
  }
  return html;
}

}  // namespace mcn
