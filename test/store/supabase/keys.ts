/** Keys as a Supabase project has them: two opaque ones, and JWTs signed with the project's secret. */
import { createHmac } from "node:crypto";

const JWT_SECRET = "a-secret-of-the-test-project-and-of-no-other";
const HOUR_SECONDS = 3600;

export const SECRET_KEY = "sb_secret_test0123456789abcdefghij_12345678";
export const PUBLISHABLE_KEY = "sb_publishable_test0123456789abcdefgh_12345678";

type JwtOptions = Readonly<{ secret?: string; expiresIn?: number; claims?: object }>;

export function jwtFor(
  role: string,
  { secret = JWT_SECRET, expiresIn = HOUR_SECONDS, claims: more = {} }: JwtOptions = {},
): string {
  const seconds = Math.floor(Date.now() / 1000);
  const claims = { iss: "supabase", role, iat: seconds, exp: seconds + expiresIn, ...more };
  const body = [{ alg: "HS256", typ: "JWT" }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${body}.${signature(body, secret)}`;
}

export const SERVICE_ROLE_KEY = jwtFor("service_role");
export const ANON_KEY = jwtFor("anon");

/** What the gateway looks at: it lets no other form through. */
export function isKeyInForm(key: string): boolean {
  return /^sb_(secret|publishable)_/.test(key) || key.split(".").length === 3;
}

type Refused = Readonly<{ code: string; message: string; details: string | null }>;

/** The role that a key stands for, or how PostgREST refuses it. */
export function roleOf(key: string): Readonly<{ role: string }> | Refused {
  if (key === SECRET_KEY) return { role: "service_role" };
  if (key === PUBLISHABLE_KEY) return { role: "anon" };
  const parts = key.split(".");
  if (parts.length !== 3) {
    const message = `Expected 3 parts in JWT; got ${parts.length}`;
    return { code: "PGRST301", message, details: null };
  }
  if (signature(`${parts[0]}.${parts[1]}`, JWT_SECRET) !== parts[2]) {
    return {
      code: "PGRST301",
      message: "No suitable key or wrong key type",
      details: "None of the keys was able to decode the JWT",
    };
  }
  const claims = JSON.parse(Buffer.from(parts[1] ?? "", "base64url").toString());
  if (claims.exp * 1000 < Date.now()) {
    return { code: "PGRST303", message: "JWT expired", details: null };
  }
  const now = Date.now() / 1000;
  if (claims.nbf > now + LEEWAY_SECONDS) return notNow("JWT not yet valid");
  if (claims.iat > now + LEEWAY_SECONDS) return notNow("JWT issued at future");
  return { role: claims.role ?? "anon" };
}

const LEEWAY_SECONDS = 30;

function notNow(message: string): Refused {
  return { code: "PGRST303", message, details: null };
}

function signature(body: string, secret: string): string {
  return createHmac("sha256", secret).update(body).digest("base64url");
}
