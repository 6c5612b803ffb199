;; Numbers of a JSON array of the usual form: a zero, a point and up to 15 decimals, with or without a
;; minus before it. 15 digits are a whole number that a double holds exactly; divided by a power of ten
;; that it holds exactly too, it comes out as the double nearest to the number as written, as JSON.parse
;; has it. Digits are taken eight at a time.
;;
;; In memory stand the values, 8 bytes each, from 0; at $powers the powers of ten from 10^0 to 10^15 as
;; doubles, and behind them the text. After its last byte stands a 0, which ends every number.
(module
  (memory (export "memory") 8)
  (global $powers i32 (i32.const 0x8000))
  ;; Of values in memory, after a call; before it, where the first is to be put.
  (global $count (export "count") (mut i32) (i32.const 0))

  ;; Reads the numbers after the bracket or comma at $at, until there are $most values. Gives the bracket
  ;; or comma where it stopped: the closing one, or the one before a number that it does not read.
  (func (export "read") (param $at i32) (param $most i32) (result i32)
    (local $to i32) (local $minus i32) (local $first i32) (local $after i32) (local $sign i32)
    (local $word i64) (local $flags i64) (local $left i32) (local $decimals i32)
    (local $digits i64) (local $value f64)
    (local.set $to (i32.shl (global.get $count) (i32.const 3)))
    (local.set $most (i32.shl (local.get $most) (i32.const 3)))
    (block $stop
      (loop $number
        (br_if $stop (i32.ge_u (local.get $to) (local.get $most)))
        ;; a minus is 0x2d, `0.` is 0x2e30
        (local.set $minus (i32.eq (i32.load8_u offset=1 (local.get $at)) (i32.const 0x2d)))
        (local.set $first (i32.add (i32.add (local.get $at) (i32.const 1)) (local.get $minus)))
        (br_if $stop (i32.ne (i32.load16_u (local.get $first)) (i32.const 0x2e30)))
        (local.set $after (i32.add (local.get $first) (i32.const 2)))

        (local.set $word (call $wordAt (local.get $after)))
        (local.set $flags (call $flagsOf (local.get $word)))
        (local.set $digits (i64.const 0))
        (local.set $decimals (i32.const 0))
        (if (i64.eqz (local.get $flags))
          (then
            (local.set $digits (call $eightDigits (local.get $word)))
            (local.set $decimals (i32.const 8))
            (local.set $word (call $wordAt (i32.add (local.get $after) (i32.const 8))))
            (local.set $flags (call $flagsOf (local.get $word)))
            ;; 16 digits or more
            (br_if $stop (i64.eqz (local.get $flags)))))
        (local.set $left (call $digitsBefore (local.get $flags)))
        (local.set $decimals (i32.add (local.get $decimals) (local.get $left)))
        (br_if $stop (i32.eqz (local.get $decimals)))
        (local.set $digits (i64.add
          (i64.mul (local.get $digits)
            (i64.trunc_sat_f64_u (call $power (local.get $left))))
          (call $eightDigits (call $firstDigits (local.get $word) (local.get $left)))))

        ;; a comma is 0x2c, the closing bracket 0x5d
        (local.set $after (i32.add (local.get $after) (local.get $decimals)))
        (local.set $sign (i32.load8_u (local.get $after)))
        (br_if $stop (i32.and
          (i32.ne (local.get $sign) (i32.const 0x2c))
          (i32.ne (local.get $sign) (i32.const 0x5d))))
        (local.set $value
          (f64.div (f64.convert_i64_s (local.get $digits)) (call $power (local.get $decimals))))
        (f64.store (local.get $to)
          (select (f64.neg (local.get $value)) (local.get $value) (local.get $minus)))
        (local.set $to (i32.add (local.get $to) (i32.const 8)))
        (local.set $at (local.get $after))
        (br_if $number (i32.eq (local.get $sign) (i32.const 0x2c)))))
    (global.set $count (i32.shr_u (local.get $to) (i32.const 3)))
    (local.get $at))

  ;; Eight bytes, each as a digit's value; the first is the lowest.
  (func $wordAt (param $at i32) (result i64)
    (i64.xor (i64.load (local.get $at)) (i64.const 0x3030303030303030)))

  ;; Bits within each byte that is over 9.
  (func $flagsOf (param $word i64) (result i64)
    (i64.and
      (i64.or (local.get $word) (i64.add (local.get $word) (i64.const 0x0606060606060606)))
      (i64.const 0xf0f0f0f0f0f0f0f0)))

  ;; How many bytes stand before the first that has a flag.
  (func $digitsBefore (param $flags i64) (result i32)
    (i32.wrap_i64 (i64.shr_u (i64.ctz (local.get $flags)) (i64.const 3))))

  ;; So many bytes, up to seven, with zeroes before them: in two shifts, as one by 64 would be one by 0.
  (func $firstDigits (param $word i64) (param $count i32) (result i64)
    (i64.shl
      (i64.shl (local.get $word) (i64.const 8))
      (i64.extend_i32_u (i32.sub (i32.const 56) (i32.shl (local.get $count) (i32.const 3))))))

  ;; As a number: pairs of digits first, then fours, then all eight.
  (func $eightDigits (param $word i64) (result i64)
    (local.set $word (i64.and
      (i64.shr_u (i64.mul (local.get $word) (i64.const 2561)) (i64.const 8))
      (i64.const 0x00ff00ff00ff00ff)))
    (local.set $word (i64.and
      (i64.shr_u (i64.mul (local.get $word) (i64.const 6553601)) (i64.const 16))
      (i64.const 0x0000ffff0000ffff)))
    (i64.shr_u (i64.mul (local.get $word) (i64.const 42949672960001)) (i64.const 32)))

  (func $power (param $exponent i32) (result f64)
    (f64.load (i32.add (global.get $powers) (i32.shl (local.get $exponent) (i32.const 3))))))
