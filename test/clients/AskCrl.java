import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.PKIXRevocationChecker.Option;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/**
 * Java's own path validation with a CRL required, which it fetches from the crlDistributionPoints of the certificate. Reads lines of
 * "name TAB certificate TAB CA" and says for each "name TAB good", or what stands in the way. Run with
 * -Dcom.sun.security.enableCRLDP=true.
 */
public class AskCrl {
  public static void main(String[] args) throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = lines.readLine()) != null; ) {
      String[] fields = line.split("\t");
      System.out.println(fields[0] + "\t" + validate(read(fields[1]), read(fields[2])));
    }
  }

  private static String validate(X509Certificate certificate, X509Certificate ca) throws Exception {
    CertPathValidator validator = CertPathValidator.getInstance("PKIX");
    PKIXRevocationChecker checker = (PKIXRevocationChecker) validator.getRevocationChecker();
    // Not ONLY_END_ENTITY: the certificate may be one of a CA.
    checker.setOptions(EnumSet.of(Option.PREFER_CRLS, Option.NO_FALLBACK));
    PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(ca, null)));
    parameters.addCertPathChecker(checker);
    try {
      validator.validate(CertificateFactory.getInstance("X.509").generateCertPath(List.of(certificate)), parameters);
      return "good";
    } catch (CertPathValidatorException problem) {
      return problem.getReason() + ": " + problem.getMessage();
    }
  }

  private static X509Certificate read(String file) throws Exception {
    try (InputStream in = Files.newInputStream(Path.of(file))) {
      return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
    }
  }
}
