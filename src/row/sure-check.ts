/**
 * A check of what a schema of zod describes, made from that schema, that only ever says "surely" or
 * "perhaps": with "surely", zod would give the very same value back; with "perhaps", zod has to be
 * asked, and has the words for what is wrong. A long journal is hundreds of thousands of events, over
 * which zod takes several times as long.
 */
import { z } from "zod";
import { isJsonObject } from "./json-value.ts";

/** True: surely. False: perhaps. */
type Sure = (value: unknown) => boolean;

const SURE_CHECKS = new WeakMap<z.core.$ZodType, Sure>();

/** The schema, with a check of our own. A schema that holds a rule and has none is never sure. */
export function withSureCheck<T extends z.ZodType>(schema: T, isSure: Sure): T {
  SURE_CHECKS.set(schema, isSure);
  return schema;
}

/** For values that come from JSON, made once for each schema. */
export function sureCheckOf<T>(schema: z.ZodType<T>): (value: unknown) => value is T {
  const isSure = sure(schema);
  return (value): value is T => isSure(value);
}

function sure(schema: z.core.$ZodType): Sure {
  const own = SURE_CHECKS.get(schema);
  if (own !== undefined) return own;
  if (schema instanceof z.ZodOptional) return sure(schema.unwrap());
  if (schema instanceof z.ZodLiteral) return sureLiteral([...schema.values]);
  if (schema instanceof z.ZodBoolean) return (value) => typeof value === "boolean";
  if (schema instanceof z.ZodArray) return sureArray(sure(schema.element));
  if (schema instanceof z.ZodDiscriminatedUnion) return sureUnion(schema);
  return schema instanceof z.ZodObject ? sureObject(schema) : () => false;
}

function sureLiteral(values: readonly unknown[]): Sure {
  return (value) => values.includes(value);
}

function sureArray(isSure: Sure): Sure {
  return (value) => Array.isArray(value) && value.every(isSure);
}

/** A member that the schema does not name makes it unsure: zod leaves those out. */
function sureObject({ shape }: z.ZodObject): Sure {
  const members = new Map(
    Object.entries(shape).map(([name, schema]) => {
      const isNeeded = !(schema instanceof z.ZodOptional);
      return [name, { isSure: sure(schema), isNeeded }];
    }),
  );
  const needed = [...members.values()].filter(({ isNeeded }) => isNeeded).length;
  return (value) => {
    if (!isJsonObject(value)) return false;
    let found = 0;
    for (const name in value) {
      const member = members.get(name);
      if (member === undefined || !member.isSure(value[name])) return false;
      if (member.isNeeded) found += 1;
    }
    return found === needed;
  };
}

function sureUnion({ def }: z.ZodDiscriminatedUnion): Sure {
  const { discriminator, options } = def;
  const checks = new Map<unknown, Sure>();
  for (const option of options) {
    const name = option instanceof z.ZodObject ? option.shape[discriminator] : undefined;
    if (!(name instanceof z.ZodLiteral)) return () => false;
    for (const value of name.values) checks.set(value, sure(option));
  }
  return (value) => isJsonObject(value) && checks.get(value[discriminator])?.(value) === true;
}
