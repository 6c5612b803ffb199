/* How one job gets exactly one batch, whatever stops, dies, gets lost or comes late. `npm run model` has spin
 * look at every state of it. Two processes share a jobs folder; each may die at `mayDie`, and stand still
 * between any two steps for as long as it likes, while the other takes its lock. With SHARED workers share a
 * manifest in tables: there is no lock, each lease may have ended, and what is recorded counts only by what holds
 * at that very place. What is recorded bears the names of the journal's events. What it covers and leaves out:
 * docs/reliability.md. */
#ifdef SHARED
#ifndef PROCESSES
#define PROCESSES 3
#endif
#else
#define PROCESSES 2
#endif
#define SUBMISSIONS 2
#define FILES (PROCESSES * (SUBMISSIONS + 1))               /* one for each submission and process */
#define fileOf(submission, process) (PROCESSES * submission + process)
#ifdef SAME_NAMES
#define ownFile(submission, process) fileOf(submission, 0)  /* both processes call a file the same */
#else
#define ownFile(submission, process) fileOf(submission, process)
#endif
mtype = { exported, uploaded, submitting, refused, revoking, absent, submitted, duplicate };

/* the manifest; `moves`: of the job, by which whoever has it in hand knows whether others went on with it */
byte lock = 9, moves; mtype state = exported; byte submissions, remoteFile, batch; bool isRevoking;
bool told[SUBMISSIONS + 1]; hidden byte k;
/* Gemini, and the network before it: a create names its file, 0 is none */
byte onItsWay[SUBMISSIONS + 1]; bool yes[SUBMISSIONS + 1], no[SUBMISSIONS + 1];
bool made[SUBMISSIONS + 1], listed[SUBMISSIONS + 1]; byte batches;
bool there[FILES], deleted[FILES], seen[FILES];             /* seen: by creates, where they see it late */
#ifdef LATE_DELETION
#define takes(file) (there[file] && !(deleted[file] && seen[file]))
#else
#define takes(file) (there[file] && !deleted[file])
#endif

#ifdef SHARED
#ifdef NO_COMPARING
#define inHand true
#define sameSubmission true
#else
#define inHand (moves == mine)
#define sameSubmission (state == submitting && submissions == own)
#endif
#define asItIs true
#define looksFirst true
#define look mine = moves
#define move moves++; mine = moves
#define mayDie skip                                         /* one of them stands still for ever: it is dead */
#else
#define inHand (lock == me)
#define sameSubmission inHand
#define asItIs inHand
#define looksFirst inHand
#define look skip
#define move skip
#define mayDie if :: skip :: goto open fi
#endif
#define must(hold) if :: hold :: else -> goto open fi
#define say(event) printf("process %d records: %e\n", me, event)
inline record(event) { move; say(event); mayDie }
/* one reading of the whole list; a batch that shows is the job's, or a second one */
inline read() {
  d_step { found = 0; k = 1; do :: k <= SUBMISSIONS -> if :: made[k] && listed[k] && k != batch && !told[k] -> found = k :: else fi; k++ :: else -> break od };
  mayDie;
  if
  :: found > 0 -> atomic { must(asItIs); if
       :: state != submitted -> state = submitted; batch = found; isRevoking = false; move; say(submitted)
       :: state == submitted && batch != found -> told[found] = true; say(duplicate)
       :: else fi }; goto work
  :: else
  fi
}
/* what was made before a grace period is listed after it */
inline grace() { d_step { k = 1; do :: k <= SUBMISSIONS -> listed[k] = made[k] || listed[k]; k++ :: else -> break od } }
inline readOverGrace() { read(); grace(); read() }

active [PROCESSES] proctype Process() {
  byte me = _pid; byte found, own, file, mine; mtype seems;
open:
#ifndef SHARED
  lock = me;                                                /* whoever had it is dead, or seems to be */
#endif
work: found = 0; d_step { seems = state; own = submissions; file = remoteFile; look };
  if
  :: seems == submitted || (seems == exported && own == SUBMISSIONS) -> goto done
  :: seems == exported && own < SUBMISSIONS -> read(); own++;
     if
     :: file == 0 -> file = ownFile(own, me); mayDie; d_step { there[file] = true; deleted[file] = false; printf("process %d uploads\n", me) }; mayDie;
        atomic { must(inHand); remoteFile = file; record(uploaded) }
     :: else
     fi;
#ifdef INTENT_AFTER_CREATE
     onItsWay[own] = file; printf("process %d sends create %d\n", me, own); mayDie;
#endif
     atomic { must(inHand); submissions = own; state = submitting; record(submitting) };
#ifndef INTENT_AFTER_CREATE
     must(looksFirst);                                      /* the check; behind it a machine may stop */
     onItsWay[own] = file; printf("process %d sends create %d\n", me, own); mayDie;
#endif
     if
     :: yes[own] -> atomic { must(inHand); state = submitted; batch = own; record(submitted) }
     :: no[own] -> atomic { must(inHand); if :: !takes(file) -> remoteFile = 0 :: else fi;
                            state = exported; record(refused) }
     :: true                                                /* no answer, or none that can be used */
     fi
  :: seems == submitting ->
     if
     :: !isRevoking -> readOverGrace(); atomic { must(sameSubmission); isRevoking = true; record(revoking) }
     :: else
     fi;
#ifndef NO_REVOCATION
#if defined(LATE_DELETION) && !defined(TRUST_LATE_DELETION)
     !there[file];                                          /* held until the file has expired */
#else
     deleted[file] = true; printf("process %d deletes the file\n", me); mayDie;
#endif
#endif
#ifndef NO_SECOND_READING
     readOverGrace();
#endif
     atomic { must(sameSubmission); remoteFile = 0; isRevoking = false; state = exported; record(absent) }
  fi;
  goto work;
done: skip
}

/* Everything that comes late, or never. */
#define ofCreate(k) \
  :: atomic { onItsWay[k] > 0 && takes(onItsWay[k]) -> onItsWay[k] = 0; made[k] = true; batches++; printf("create %d makes a batch\n", k); \
     assert(batches <= 1);                                  /* no rows are in two batches */ \
     if :: yes[k] = true :: skip fi }                       /* the answer arrives, or is lost */ \
  :: atomic { onItsWay[k] > 0 -> onItsWay[k] = 0; no[k] = true } /* refused: no such file, or for quota */ \
  :: atomic { onItsWay[k] > 0 -> onItsWay[k] = 0 }          /* lost on the way */ \
  :: atomic { made[k] && !listed[k] -> listed[k] = true }
#define ofFile(file) \
  :: atomic { there[file] -> there[file] = false } /* it expires */ \
  :: atomic { deleted[file] && !seen[file] -> seen[file] = true }

active proctype World() {
end: do
  ofCreate(1) ofCreate(2)
#ifdef LATE_DELETION
  ofFile(2) ofFile(3) ofFile(4) ofFile(5)
#endif
  od
}

/* When nothing moves any more, no batch that was made is forgotten. */
active proctype Judge() {
  timeout; assert(batches == 0 || state == submitted)
}
