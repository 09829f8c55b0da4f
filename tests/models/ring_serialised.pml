/* SPDX-License-Identifier: BSD-3-Clause
 * The serialised ring: one word {position, owner, incarnation} and a published tail for each side.  Every process may
 * crash between any two of its shared accesses; whoever finds a dead owner repairs at once; a lease is given to a new
 * owner (of another incarnation) after a death, so that delayed repairers meet a word that looks like the one they read.
 *
 * Proved: no object is lost, none is delivered twice, none out of order, none that was never put; a claim of a dead owner
 * never outlives the next one who wants the side (no deadlock: the final process finds both sides usable).
 * With -DBROKEN=n a rule is left out, and the check must fail:
 *   1  a dead owner's claim is always undone, whether it had published or not
 *   2  words do not name the owner's incarnation
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef TURNS
#define TURNS 1 /* operations of each process that does not crash; -DTURNS=2 takes minutes */
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#define SLOTS 2
#define PROCS 3 /* leases 0 … PROCS-1; a lease is used again after a crash */
#define NONE 7

typedef Word { byte pos; byte owner; byte inc }; /* owner NONE: idle */

Word pword, cword;
byte ptail, ctail;
byte slot[SLOTS];
bool dead[PROCS];
byte incarnation[PROCS];
byte delivered = 0;        /* the last object that a consumer committed */
byte crashes = 0;
byte finished = 0;

#define INC(l) (BROKEN == 2 -> 0 : incarnation[l])
#define busy(w) (w.owner != NONE)
/* dead, or its lease has gone to another since */
#define gone(w) (dead[w.owner] || INC(w.owner) != w.inc)
#define same(a, b) (a.pos == b.pos && a.owner == b.owner && a.inc == b.inc)
#define copy_word(a, b) a.pos = b.pos; a.owner = b.owner; a.inc = b.inc

/* Between two shared accesses a process may die, once or twice in a run.  Its lease goes to a new owner at once, which is
 * worse than what recovery allows. */
#define crash_point \
  if \
  :: crashes < CRASHES -> atomic { crashes++; dead[me] = true; goto died } \
  :: skip \
  fi

/* The repair of one side, as a waiter or recovery does it: load the tail, then exchange the word if it still stands. */
inline repair(word, tail, seen, t) {
  t = tail;
  atomic {
    if
    :: same(word, seen) -> word.pos = t; word.owner = NONE; word.inc = 0
    :: else -> skip
    fi
  }
}

proctype worker(byte me; bool producer) {
  Word w;
  byte t, object;
  byte turns = 0;
again:
  do
  :: turns == TURNS -> break
  :: else ->
    if
    :: producer -> atomic { copy_word(w, pword) }
    :: else -> atomic { copy_word(w, cword) }
    fi;
    crash_point;
    if
    :: busy(w) ->
      if
      :: gone(w) ->
        if
        :: BROKEN == 1 -> t = w.pos
        :: BROKEN != 1 && producer -> t = ptail
        :: BROKEN != 1 && !producer -> t = ctail
        fi;
        crash_point;
        atomic {
          if
          :: producer && same(pword, w) -> pword.pos = t; pword.owner = NONE; pword.inc = 0
          :: !producer && same(cword, w) -> cword.pos = t; cword.owner = NONE; cword.inc = 0
          :: else -> skip
          fi
        }
      :: else -> turns++ /* a bounded wait: short count */
      fi
    :: else ->
      if
      :: producer -> t = ctail
      :: else -> t = ptail
      fi;
      if
      :: (producer && w.pos - t >= SLOTS) || (!producer && t <= w.pos) -> turns++ /* full, empty */
      :: else ->
        crash_point;
        /* compare and swap */
        atomic {
          if
          :: producer && same(pword, w) -> pword.owner = me; pword.inc = INC(me); object = 0
          :: !producer && same(cword, w) -> cword.owner = me; cword.inc = INC(me); object = 0
          :: else -> object = NONE
          fi
        }
        if
        :: object == NONE -> skip
        :: else ->
          crash_point;
          if
          :: producer ->
            slot[w.pos % SLOTS] = w.pos + 1; /* the object's number is its place in the order */
            crash_point;
            ptail = w.pos + 1;
            crash_point;
            atomic { pword.pos = w.pos + 1; pword.owner = NONE; pword.inc = 0 }
          :: else ->
            object = slot[w.pos % SLOTS];
            crash_point;
            /* the commit is the delivery: in order, once, and the object that was put there */
            atomic {
              assert(object == w.pos + 1);
              assert(delivered == w.pos);
              delivered = object;
              ctail = w.pos + 1
            }
            crash_point;
            atomic { cword.pos = w.pos + 1; cword.owner = NONE; cword.inc = 0 }
          fi;
          turns++
        fi
      fi
    fi
  od;
  goto done;
died:
  /* The lease is taken by a new owner, who goes on. */
  atomic { incarnation[me]++; dead[me] = false };
  object = 0; t = 0; w.pos = 0; w.owner = NONE; w.inc = 0;
  if
  :: turns < TURNS -> goto again
  :: true -> skip /* or nobody takes it */
  fi;
done:
  finished++
}

init {
  byte t;
  Word w;
  atomic {
    pword.owner = NONE; cword.owner = NONE;
    run worker(0, true); run worker(1, true); run worker(2, false)
  };
  finished == PROCS;
  /* The last survivor: repairs what is left and drains. */
  if
  :: busy(pword) -> assert(gone(pword)); atomic { copy_word(w, pword) }; repair(pword, ptail, w, t)
  :: else -> skip
  fi;
  if
  :: busy(cword) -> assert(gone(cword)); atomic { copy_word(w, cword) }; repair(cword, ctail, w, t)
  :: else -> skip
  fi;
  assert(!busy(pword) && !busy(cword));
  assert(pword.pos == ptail && cword.pos == ctail);
  assert(delivered == ctail && ctail <= ptail && ptail - ctail <= SLOTS);
  do
  :: ctail == ptail -> break
  :: else -> assert(slot[ctail % SLOTS] == ctail + 1); ctail++
  od
}
