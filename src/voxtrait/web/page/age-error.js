/** Mean error of an age estimate, as measured in the evaluation of the bundle. */
import { say } from "./language.js";

const ONE_SIDED = 0.5; // |bias| / MAE from which at least three quarters of the years of error are on one side

/** One sentence, or null if `errors` (estimated age group → `mae` and `bias` in years) lacks the estimated group. */
export function expectedError({ age_group: group }, errors) {
  const { mae, bias } = errors?.[group] ?? {};
  if (!Number.isFinite(mae) || !Number.isFinite(bias)) return null;
  const estimates = say(group === "under_ten" ? "estimates.under_ten" : "estimates", { group: say(`group.${group}`) });
  const oneSided = Math.abs(bias) >= ONE_SIDED * mae && bias !== 0;
  const side = oneSided ? (bias < 0 ? ".young" : ".old") : "";
  return say(`age.error${side}`, { estimates, n: Math.round(mae) });
}
