/**
 * When to strike. A moment of a command is something that can be seen from outside: a line of its
 * progress, an event in the journal, a file that appears in the jobs folder. Moments are learned
 * while commands run; the next strike aims at one that was hit least, so that every step of every
 * stage gets its share however short it is.
 */
import type { Dice } from "./dice.ts";

/** Such as `journal submitting`; `start` is the moment the process was made. */
export type Moment = string;

/** To strike so long after the nth time that the moment was seen. */
export type Aim = Readonly<{ moment: Moment; nth: number; delayMs: number }>;

const START: Moment = "start";
/** About as long as a command takes to be ready for work. */
const MAX_STARTUP_DELAY_MS = 400;
const MAX_DELAY_MS = 30;
/** Many steps follow their moment within a millisecond. */
const AT_ONCE_SHARE = 0.4;
const MAX_NTH = 4;

export class Moments {
  /** By command and moment: how often it was struck. */
  readonly #strikes = new Map<string, Map<Moment, number>>();

  see(command: string, moment: Moment): void {
    const known = this.#of(command);
    if (!known.has(moment)) known.set(moment, 0);
  }

  struck(command: string, moment: Moment): void {
    const known = this.#of(command);
    known.set(moment, (known.get(moment) ?? 0) + 1);
  }

  aim(command: string, dice: Dice): Aim {
    const known = [...this.#of(command)];
    const [moment] = dice.pickBy(known, ([, strikes]) => 1 / (1 + strikes) ** 2);
    const nth = moment === START ? 1 : dice.between(1, dice.between(1, MAX_NTH));
    return { moment, nth, delayMs: delayAfter(moment, dice) };
  }

  /** Strikes by command and moment, the commands in the order they were first seen. */
  figures(): ReadonlyMap<string, ReadonlyMap<Moment, number>> {
    return this.#strikes;
  }

  #of(command: string): Map<Moment, number> {
    const known = this.#strikes.get(command) ?? new Map<Moment, number>([[START, 0]]);
    this.#strikes.set(command, known);
    return known;
  }
}

function delayAfter(moment: Moment, dice: Dice): number {
  if (moment === START) return dice.share() * MAX_STARTUP_DELAY_MS;
  return dice.chance(AT_ONCE_SHARE) ? 0 : dice.share() * MAX_DELAY_MS;
}
