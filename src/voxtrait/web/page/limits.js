/** Known limits of a prediction, computed from the evaluation of its bundle. */
import { GROUPS } from "./density.js";
import { number, say } from "./language.js";

const ONE_SIDED = 0.5; // |bias| / MAE from which at least three quarters of the years of error are on one side
const BIASED = 5; // years of mean error in one direction from which a group is named, as in the report
const FEW = 10; // speakers below which no sentence uses a group, as in the report
const YEARS = 10; // of a group
const CHILDREN = 13; // years below which the figures for children apply
const ADULTS = 20; // years from which the figures for adults apply: the first of their age groups

/** The side on which most of a group's years of error are: -1 too young, 1 too old, 0 neither. */
const mostly = ({ mae, bias } = {}) => (Math.abs(bias) >= ONE_SIDED * mae ? Math.sign(bias) : 0);

/** One sentence, or null if `errors` (estimated age group → `mae` and `bias` in years) lacks the estimated group. */
export function expectedError({ age_group: group }, errors) {
  const { mae, bias } = errors?.[group] ?? {};
  if (!Number.isFinite(mae) || !Number.isFinite(bias)) return null;
  const estimates = say(group === "under_ten" ? "estimates.under_ten" : "estimates", { group: say(`group.${group}`) });
  const side = { "-1": ".young", 0: "", 1: ".old" }[mostly({ mae, bias })];
  return say(`age.error${side}`, { estimates, n: Math.round(mae) });
}

/**
 * Neighbouring age groups that are usually estimated too young or too old, a sentence each. A limit applies if voices of
 * one of its groups are, on average, estimated inside the 80 % interval, unless estimates like this one are mostly wrong
 * on the other side. `labelled` is labelled age group → `bias`, `n_clips` and `n_speakers`; `estimated` is estimated age
 * group → `mae` and `bias`.
 */
export function ageLimits({ age_low: low, age_high: high, age_group: group }, labelled, estimated) {
  if (low === null || high === null || !labelled) return [];
  const against = -mostly(estimated?.[group]);
  const rows = GROUPS.map((name, at) => ({ ...labelled[name], from: YEARS * at, to: YEARS * at + YEARS - 1 }))
    .filter(({ bias, n_clips: clips, n_speakers: speakers }) => Number.isFinite(bias) && clips > 0 && speakers >= FEW);
  const side = ({ bias }) => (Math.abs(bias) < BIASED ? 0 : Math.sign(bias));
  const runs = [];
  for (const row of rows) {
    const run = runs.at(-1);
    if (run && side(run[0]) === side(row)) run.push(row);
    else runs.push([row]);
  }
  const applies = ({ from, bias }) => from + YEARS / 2 + bias >= low && from + YEARS / 2 + bias <= high;
  const known = (run) => side(run[0]) && side(run[0]) !== against && run.some(applies);
  return runs.filter(known).map((run) => {
    const clips = run.reduce((sum, row) => sum + row.n_clips, 0);
    const n = Math.round(run.reduce((sum, row) => sum + row.n_clips * Math.abs(row.bias), 0) / clips);
    const name = side(run[0]) > 0 ? "limit.old" : run.at(-1) === rows.at(-1) ? "limit.young.from" : "limit.young";
    return say(name, { n, from: run[0].from, to: run.at(-1).to });
  });
}

/**
 * How often gender is right for people whose age is inside the interval, a sentence each. `groups` is group → `n_speakers`
 * and `recall` or `wrong_sure`, as shares.
 */
export function genderLimits({ age_low: low, age_high: high }, groups) {
  const figure = (group, name) => (groups?.[group]?.n_speakers >= FEW ? groups[group][name] : undefined);
  const [female, male] = [figure("female_adults", "recall"), figure("male_adults", "recall")];
  const wrong = figure("under_13", "wrong_sure");
  return [
    (high === null || high >= ADULTS) && Number.isFinite(female) && Number.isFinite(male) && say("limit.gender", { female: percent(female), male: percent(male) }),
    low !== null && low < CHILDREN && Number.isFinite(wrong) && say("limit.children", { wrong: percent(wrong) }),
  ].filter(Boolean);
}

/** A share as `97.2 %`, which is never broken into two lines. */
export function percent(share) {
  return `${number(100 * share, 1)} %`;
}
