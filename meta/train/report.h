// A page of HTML that shows runs: curves, figures, settings, evaluations. It needs no network and no other file.
#pragma once

#include <span>
#include <string>

#include "meta/train/run_log.h"
#include "meta/train/run_pictures.h"

namespace mcn {

/// Text as it stands in HTML, also in a quoted attribute. Bytes that are no UTF-8 become U+FFFD.
std::string html_text(const std::string& text);

/// The page, of runs in the order given; each needs a folder, and is known on the page by as much of its path's end as
/// tells it from the others. pictures: of as many of the runs, from the first. UsageError without a run.
std::string report_page(std::span<const RunLog> runs, std::span<const RunPictures> pictures = {});

}  // namespace mcn
