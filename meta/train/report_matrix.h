// A confusion matrix on a report's page.
#pragma once

#include <string>
#include <vector>

namespace mcn {

/// matrix: counts, a row for each true class and a column for each predicted one. Of up to 60 classes the matrix as a
/// table, of more the most frequent mistakes alone; from 12 classes on both.
std::string confusion_html(const std::vector<std::vector<double>>& matrix, const std::vector<std::string>& classes);

}  // namespace mcn
