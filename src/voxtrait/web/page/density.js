/** A non-negative curve over single years from the shares of decades; each decade keeps its share.
 *
 * It is the smoothest such curve: it minimises the sum of squared second differences, each divided by the height of the
 * decades around it. Without this weight, the tails would get humps to make the peak smoother. The minimum is the
 * solution of a linear system. Years with a negative solution are fixed at 0 and the system is solved again, until no
 * year is negative.
 */

export const GROUPS = [
  "under_ten", "teens", "twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties",
];
const YEARS = 10; // in a group
const ALL = YEARS * GROUPS.length;
const LEAST = 1e-9; // smaller shares count as 0
const FLAT = 0.005; // smaller shares count as equally low

/** Returns the share of each year from 0 to 99; the sum is 1. */
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
    free = kept; // each decade keeps at least one year, because its share is positive
  }
}

/** The values of the free years of the smoothest curve; all other years are 0. */
function smoothest(shares, free) {
  const groups = shares.map((_, group) => group).filter((group) => shares[group] > LEAST);
  const place = new Map(free.map((year, at) => [year, at]));
  const size = free.length + groups.length;
  const matrix = Array.from({ length: size }, () => new Float64Array(size + 1));
  for (let year = -1; year <= ALL - 2; year += 1) {
    const weight = 1 / height(shares, year + 1);
    // the curve is 0 beyond both ends
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

/** The height of the decades around a year: the weighted geometric mean of the two nearest. */
function height(shares, year) {
  const place = Math.min(GROUPS.length - 1.001, Math.max(0, (year + 0.5) / YEARS - 0.5));
  const left = Math.floor(place);
  const [low, high] = [shares[left] + FLAT, shares[left + 1] + FLAT];
  return low * (high / low) ** (place - left);
}

/** Gaussian elimination with partial pivoting; the last column is the right side. */
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
