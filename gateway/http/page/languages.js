// The languages that Whisper models know, by code; the browser has their names.

const CODES =
  "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu hy id " +
  "is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru sa sd si " +
  "sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue zh";

const names = new Intl.DisplayNames(undefined, { type: "language", fallback: "code" });

export const nameOf = (code) => {
  try {
    return names.of(code === "jw" ? "jv" : code);
  } catch {
    return code;
  }
};

export const languages = () =>
  CODES.split(" ")
    .map((code) => ({ code, name: nameOf(code) }))
    .sort((a, b) => a.name.localeCompare(b.name));
