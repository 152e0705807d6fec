/** A curve over single years from the shares of decades: each decade keeps its share, and nothing is below nought.
 *
 * Of all such curves it is the smoothest, the one with the least sum of squared second differences, each measured by
 * how high the decades are around it: otherwise the tails would pay with humps for a smoother peak. That is a linear
 * system, solved again with what came out below nought held at nought, until nothing does.
 */

export const GROUPS = [
  "under_ten", "teens", "twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties",
];
const YEARS = 10; // of a group
const ALL = YEARS * GROUPS.length;
const LEAST = 1e-9; // of a share; less is none
const FLAT = 0.005; // of a share, below which all decades count as equally low

/** Gives the share of each year from 0 to 99, which add up to 1. */
export function density(groups) {
  const given = GROUPS.map((group) => Math.max(0, groups[group] ?? 0));
  const all = given.reduce((sum, share) => sum + share, 0) || 1;
  const shares = given.map((share) => share / all);
  let free = Array.from({ length: ALL }, (_, year) => year).filter((year) => shares[Math.floor(year / YEARS)] > LEAST);
  for (;;) {
    const found = smoothest(shares, free);
    const kept = free.filter((_, at) => found[at] >= 0);
    if (kept.length === free.length) {
      const years = new Array(ALL).fill(0);
      free.forEach((year, at) => (years[year] = found[at]));
      return years;
    }
    free = kept; // shares are above nought, so that some year of each decade is, too
  }
}

/** The free years of the smoothest curve whose other years are nought. */
function smoothest(shares, free) {
  const groups = shares.map((_, group) => group).filter((group) => shares[group] > LEAST);
  const place = new Map(free.map((year, at) => [year, at]));
  const size = free.length + groups.length;
  const matrix = Array.from({ length: size }, () => new Float64Array(size + 1));
  for (let year = -1; year <= ALL - 2; year += 1) {
    const weight = 1 / height(shares, year + 1);
    // beyond both ends the curve is nought
    const difference = [[year, weight], [year + 1, -2 * weight], [year + 2, weight]];
    for (const [one, a] of difference) {
      for (const [other, b] of difference) {
        if (place.has(one) && place.has(other)) matrix[place.get(one)][place.get(other)] += a * b;
      }
    }
  }
  groups.forEach((group, at) => {
    const row = free.length + at;
    for (let year = YEARS * group; year < YEARS * (group + 1); year += 1) {
      if (place.has(year)) matrix[row][place.get(year)] = matrix[place.get(year)][row] = 1;
    }
    matrix[row][size] = shares[group];
  });
  return solved(matrix).slice(0, free.length);
}

/** How high the decades are around a year: the geometric mean of the two next to it, the nearer one counting more. */
function height(shares, year) {
  const place = Math.min(GROUPS.length - 1.001, Math.max(0, (year + 0.5) / YEARS - 0.5));
  const left = Math.floor(place);
  const [low, high] = [shares[left] + FLAT, shares[left + 1] + FLAT];
  return low * (high / low) ** (place - left);
}

/** Gauss's elimination, with the largest pivot of each column; the last column is the right side. */
function solved(matrix) {
  const size = matrix.length;
  for (let column = 0; column < size; column += 1) {
    let pivot = column;
    for (let row = column + 1; row < size; row += 1) {
      if (Math.abs(matrix[row][column]) > Math.abs(matrix[pivot][column])) pivot = row;
    }
    [matrix[column], matrix[pivot]] = [matrix[pivot], matrix[column]];
    for (let row = column + 1; row < size; row += 1) {
      const factor = matrix[row][column] / matrix[column][column];
      if (factor) for (let at = column; at <= size; at += 1) matrix[row][at] -= factor * matrix[column][at];
    }
  }
  const solution = new Float64Array(size);
  for (let row = size - 1; row >= 0; row -= 1) {
    let sum = matrix[row][size];
    for (let at = row + 1; at < size; at += 1) sum -= matrix[row][at] * solution[at];
    solution[row] = sum / matrix[row][row];
  }
  return solution;
}
